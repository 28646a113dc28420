// Pictures of one class or attribute carried to another: by a flow that knows both, or by a map in closed form.

import { answer, get } from "../api.js";
import { el, figure, latest, number, options, slider } from "../dom.js";
import { exports } from "./exports.js";

const MOST = 12; // pictures that are carried at once
const ADDED = 6;
const ALL = "all there are";
const TITLES = {
  flow: "By the flow", gaussian: "By the optimal map between Gaussians", mean: "By the difference of the means",
};

export const transport = {
  id: "transport",
  title: "Transport",
  supports: (model) => model.spaces.length > 0 && model.sets.length > 1,
  show(app) {
    const sets = app.model.sets;
    const settings = { source: sets[0], target: sets[1], by: [], strengths: [1] };
    const learned = new Set(), next = {};
    let selected = [];
    const waiting = el("p", { className: "hint", role: "status" });
    const more = el("p", { className: "hint" });
    const results = el("div", { "aria-live": "polite", id: "carried" });
    const row = (title, pictures) => [el("h3", {}, title), el("div", { className: "row" }, pictures)];
    const live = latest(() => app.trying(async () => {
      const shown = selected, asked = { ...settings, by: [...settings.by] };
      if (!shown.length) { results.replaceChildren("Select pictures above, or add some with the button."); return; }
      const maps = JSON.stringify([asked.source, asked.target, asked.by]);
      if (!learned.has(maps)) waiting.textContent = `Learning the maps from ${asked.source} to ${asked.target}…`;
      try {
        const { images, numbers } = await answer("transport", shown, asked);
        learned.add(maps);
        results.replaceChildren(
          ...row("Reconstructions", images.reconstruction.map((image, i) => figure(image, `reconstruction of ${app.tray.text(shown[i])}`))),
          ...Object.entries(numbers).flatMap(([name, { distance, mse, recognised }]) => row(
            TITLES[name.split(" ")[0]], images[name].map((image, i) => figure(image, `${app.tray.text(shown[i])} carried to ${asked.target}`,
              ...(recognised.length ? [`seen as ${recognised[i]}`] : []), `distance ${distance[i].toFixed(2)}`, `MSE ${number(mse[i])}`)))));
        results.dataset.shown = String(Number(results.dataset.shown || 0) + 1);
      } catch (error) { results.replaceChildren(); throw error; } finally { waiting.textContent = ""; }
    }));
    const choice = (names, first, changed) => {
      const select = options(el("select", { onchange: () => { changed(select.value); live(); } }), names, first);
      return select;
    };
    const source = choice(sets, settings.source, (name) => { settings.source = name; addSome.textContent = adding(); });
    const target = choice(sets, settings.target, (name) => { settings.target = name; });
    const by = choice([ALL, ...Object.keys(TITLES)], ALL, (name) => { settings.by = name === ALL ? [] : [name]; });
    const adding = () => `Add ${ADDED} of ${settings.source}`;
    const addSome = el("button", { type: "button", id: "add-source", onclick: () => app.trying(async () => {
      const name = settings.source, start = next[name] || 0;
      const { pictures, total } = await get(`api/data?split=test&of=${encodeURIComponent(name)}&start=${start}&count=${ADDED}`);
      next[name] = start + ADDED < total ? start + ADDED : 0;
      pictures.forEach((picture) => app.tray.add(picture, `test image, ${name}`));
      app.tray.select(pictures);
    }) }, adding());
    return {
      element: el("div", {},
        el("div", { className: "bar" }, el("label", {}, "from ", source), el("label", {}, "to ", target),
          el("label", {}, "map ", by), addSome),
        slider("strength", { min: 0, max: 1, step: 0.05, value: 1, changed: (value) => { settings.strengths = [value]; live(); } }),
        el("p", { className: "hint" }, "Every map expects pictures of the class or attribute that it comes from. The distance is how far a " +
          "code is carried, in standard deviations of the codes there; the MSE is against the picture."),
        waiting, more, results, exports(app, () => ({ operation: "transport", pictures: selected, settings }))),
      refresh(pictures) {
        selected = pictures.slice(0, MOST);
        more.textContent = pictures.length > MOST ? `The first ${MOST} of the selected pictures are carried.` : "";
        live();
      },
    };
  },
};
