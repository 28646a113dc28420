// New pictures from a prior, of the class that is chosen where it knows classes; those that one likes are kept above.

import { answer } from "../api.js";
import { el, latest, options, picture, slider } from "../dom.js";
import { exports } from "./exports.js";

const COUNT = 24;
const ALL = "all"; // as on the command line; a class may be called so, then it is that class
const EACH = 8, MOST = 400; // of every class, where all are shown; pictures at once

export const sample = {
  id: "sample",
  title: "Sample",
  supports: (model) => model.priors.length > 0,
  show(app) {
    const settings = { prior: app.model.priors[0], count: COUNT, seed: 0, truncation: 1, given: [], guidance: 1 };
    const known = () => app.model.classes[settings.prior];
    const results = el("div", { "aria-live": "polite", id: "samples" });
    const draw = latest(() => app.trying(async () => {
      const { images, numbers } = await answer("sample", [], settings);
      const kept = (image, i) => {
        const of = numbers.classes.length ? `, class ${numbers.classes[i]}` : "";
        return el("button", {
          type: "button", className: "picture", title: "Keep this one above",
          onclick: () => app.trying(() => app.tray.pin(image, `sample ${i} of ${settings.prior}${of}, seed ${settings.seed}`)),
        }, picture(image, `sample ${i}${of}; press to keep it`));
      };
      const shown = images.samples.map(kept);
      const names = [...new Set(numbers.classes)];
      results.replaceChildren(...names.length < 2 ? [el("div", { className: "grid" }, shown)] : names.map((name) => el(
        "section", { className: "of-class" }, el("h3", {}, name),
        el("div", { className: "row" }, shown.filter((_, i) => numbers.classes[i] === name)))));
    }));
    const seed = el("input", { type: "number", min: 0, value: 0, id: "seed", onchange: () => {
      settings.seed = Math.max(0, Math.floor(Number(seed.value) || 0));
      draw();
    } });
    const guidance = slider("guidance", { min: 1, max: 5, step: 0.1, value: 1, changed: (value) => { settings.guidance = value; draw(); } });
    const given = el("select", { id: "given", onchange: () => { chosen(); draw(); } });
    const asked = el("label", {}, "class ", given);
    const chosen = () => { // what is drawn follows from the class, and whether guidance has a meaning
      settings.given = given.value ? [given.value] : [];
      const every = given.value === ALL && !known().includes(ALL);
      settings.count = every ? Math.max(1, Math.min(EACH, Math.floor(MOST / known().length))) : COUNT;
      guidance.hidden = !given.value || !app.model.guided.includes(settings.prior);
      settings.guidance = guidance.hidden ? 1 : Number(guidance.querySelector("input").value);
    };
    const offer = () => {
      const every = known().includes(ALL) || known().length > MOST ? [] : [[ALL, "every class"]];
      given.replaceChildren(...[["", "any"], ...every, ...known().map((name) => [name, name])].map(
        ([value, text]) => el("option", { value }, text)));
      asked.hidden = !known().length;
      chosen();
    };
    const prior = options(el("select", { onchange: () => { settings.prior = prior.value; offer(); draw(); } }), app.model.priors);
    offer();
    draw();
    return {
      element: el("div", {},
        el("div", { className: "bar" }, el("label", {}, "prior ", prior), asked, el("label", {}, "seed ", seed),
          el("button", { type: "button", onclick: () => { seed.value = settings.seed += 1; draw(); } }, "Other samples")),
        guidance,
        slider("truncation", { min: 0, max: 1, step: 0.05, value: 1, changed: (value) => {
          settings.truncation = value;
          draw();
        } }),
        el("p", { className: "hint" }, "Press a sample to keep it with the pictures above."), results,
        exports(app, () => ({ operation: "sample", pictures: [], settings }), { figure: "PNG", codes: "codes (.npz)" })),
      refresh: () => {},
    };
  },
};
