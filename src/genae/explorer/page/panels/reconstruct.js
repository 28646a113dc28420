// What each path through the model gives back, and where that fails.

import { address, answer } from "../api.js";
import { el, figure, latest, number, slider } from "../dom.js";
import { exports } from "./exports.js";

export const reconstruct = {
  id: "reconstruct",
  title: "Reconstruct",
  supports: (model) => model.spaces.length > 0,
  show(app) {
    const settings = { truncation: 1 };
    const rows = el("div", { "aria-live": "polite" });
    const refresh = latest((selected) => app.trying(async () => {
      if (!selected.length) { rows.replaceChildren("Select pictures above."); return; }
      const found = await answer("reconstruct", selected, settings);
      rows.replaceChildren(
        el("h3", {}, "Pictures"),
        el("div", { className: "row" }, selected.map((name) => figure(address(name), app.tray.text(name), "input"))),
        ...Object.entries(found.images).flatMap(([space, images]) => [
          el("h3", {}, space === "code" ? "Through the code" : `Through the ${space} prior`),
          el("div", { className: "row" }, images.map((image, i) => figure(
            image, `${app.tray.text(selected[i])} through ${space}`,
            `MSE ${number(found.numbers[space].mse[i])}`))),
        ]),
        el("h3", {}, "Where the first path fails"),
        el("div", { className: "row" }, found.heat.error.map((image, i) => figure(
          image, `squared error of ${app.tray.text(selected[i])}`, `${found.numbers.code.psnr[i].toFixed(1)} dB`))),
      );
    }));
    const truncation = slider("truncation", { min: 0, max: 1, step: 0.05, value: 1, changed: (value) => {
      settings.truncation = value;
      refresh([...app.tray.selected]);
    } });
    return {
      element: el("div", {}, app.model.priors.length ? truncation : "", rows, exports(app, () => (
        { operation: "reconstruct", pictures: app.tray.selected, settings }))),
      refresh,
    };
  },
};
