// What each path through the model gives back, and where the first one fails.

import { address, answer } from "../api.js";
import { el, figure, latest, number, slider } from "../dom.js";
import { exports } from "./exports.js";

const list = (names) => names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;

/** Paths that give other pictures than the code alone, and those whose pictures differ from its by less than a grey level. */
function grouped(numbers) {
  const [code, ...priors] = Object.keys(numbers);
  const same = priors.filter((prior) => numbers[prior].difference < 1);
  return { rows: [code, ...priors.filter((prior) => !same.includes(prior))], same };
}

/** Why priors have no row of their own. */
function absent({ spaces, priors }, same, truncation) {
  if (truncation !== 1) return ["With truncation, pictures go through the code alone."];
  const without = priors.filter((prior) => !spaces.includes(prior));
  return [
    ...(same.length ? [`Through ${list(same)} the pictures are the same, to less than a grey level: ` +
      `${same.length > 1 ? "these priors lose" : "this prior loses"} nothing of a code.`] : []),
    ...(without.length ? [`There is no row for ${list(without)}: ${without.length > 1 ? "they have" : "it has"} no encoder ` +
      "that a picture could go through, and can only be sampled."] : []),
  ];
}

export const reconstruct = {
  id: "reconstruct",
  title: "Reconstruct",
  supports: (model) => model.spaces.length > 0,
  show(app) {
    const settings = { truncation: 1 };
    const results = el("div", { "aria-live": "polite" });
    const refresh = latest((selected) => app.trying(async () => {
      if (!selected.length) { results.replaceChildren("Select pictures above."); return; }
      const truncation = settings.truncation;
      const { images, heat, numbers } = await answer("reconstruct", selected, settings);
      const { rows, same } = grouped(numbers);
      const row = (sources, text, caption) => el("div", { className: "row" }, sources.map((source, i) => figure(
        source, text(app.tray.text(selected[i])), caption(i))));
      results.replaceChildren(
        el("h3", {}, "Pictures"),
        row(selected.map(address), (name) => name, () => "input"),
        ...rows.flatMap((space) => [
          el("h3", {}, space !== "code" ? `Through the ${space} prior` : `Through the code${same.length ? `, and likewise through ${list(same)}` : ""}`),
          row(images[space], (name) => `${name} through ${space}`, (i) => `MSE ${number(numbers[space].mse[i])}`),
        ]),
        ...absent(app.model, same, truncation).map((text) => el("p", { className: "hint absent" }, text)),
        el("h3", {}, "Where the first path fails"),
        row(heat.error, (name) => `squared error of ${name}`, (i) => `${numbers.code.psnr[i].toFixed(1)} dB`),
      );
    }));
    const truncation = slider("truncation", { min: 0, max: 1, step: 0.05, value: 1, changed: (value) => {
      settings.truncation = value;
      refresh([...app.tray.selected]);
    } });
    return {
      element: el("div", {}, app.model.priors.length ? truncation : "", results, exports(app, () => (
        { operation: "reconstruct", pictures: app.tray.selected, settings }))),
      refresh,
    };
  },
};
