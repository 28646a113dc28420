// New pictures from a prior; those that one likes are kept above.

import { answer } from "../api.js";
import { el, latest, options, picture, slider } from "../dom.js";
import { exports } from "./exports.js";

export const sample = {
  id: "sample",
  title: "Sample",
  supports: (model) => model.priors.length > 0,
  show(app) {
    const settings = { prior: app.model.priors[0], count: 24, seed: 0, truncation: 1 };
    const grid = el("div", { className: "grid", "aria-live": "polite" });
    const draw = latest(() => app.trying(async () => {
      const { images } = await answer("sample", [], settings);
      grid.replaceChildren(...images.samples.map((image, i) => el("button", {
        type: "button", className: "picture", title: "Keep this one above",
        onclick: () => app.trying(() => app.tray.pin(image, `sample ${i} of ${settings.prior}, seed ${settings.seed}`)),
      }, picture(image, `sample ${i}; press to keep it`))));
    }));
    const seed = el("input", { type: "number", min: 0, value: 0, id: "seed", onchange: () => {
      settings.seed = Math.max(0, Math.floor(Number(seed.value) || 0));
      draw();
    } });
    const prior = options(el("select", { onchange: () => { settings.prior = prior.value; draw(); } }), app.model.priors);
    draw();
    return {
      element: el("div", {},
        el("div", { className: "bar" }, el("label", {}, "prior ", prior), el("label", {}, "seed ", seed),
          el("button", { type: "button", onclick: () => { seed.value = settings.seed += 1; draw(); } }, "Other samples")),
        slider("truncation", { min: 0, max: 1, step: 0.05, value: 1, changed: (value) => {
          settings.truncation = value;
          draw();
        } }),
        el("p", { className: "hint" }, "Press a sample to keep it with the pictures above."), grid,
        exports(app, () => ({ operation: "sample", pictures: [], settings }), { figure: "PNG", codes: "codes (.npz)" })),
      refresh: () => {},
    };
  },
};
