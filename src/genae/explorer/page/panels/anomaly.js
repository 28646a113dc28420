// How unlike the training images pictures are to the model, and where.

import { address, answer, post } from "../api.js";
import { el, latest, number, options, picture } from "../dom.js";
import { exports } from "./exports.js";

export const anomaly = {
  id: "anomaly",
  title: "Anomaly",
  supports: (model) => model.spaces.length > 0 && Object.keys(model.splits).length > 0,
  show(app) {
    const settings = { likelihood: "" };
    let shown = [];
    const results = el("div", { "aria-live": "polite" });
    const card = (name, heat, isUnusual, score, error, nats) => el("figure", { className: "card" },
      picture(address(name), app.tray.text(name)), picture(heat, `where the reconstruction of ${app.tray.text(name)} fails`),
      el("figcaption", {},
        el("div", { className: isUnusual ? "verdict bad" : "verdict" }, isUnusual ? "unusual: above the threshold" : "usual"),
        el("div", {}, `score ${score.toFixed(1)}`), el("div", {}, `MSE ${number(error)}`),
        nats === undefined ? "" : el("div", {}, `${nats.toFixed(2)} nats`)));
    const refresh = latest((selected) => app.trying(async () => {
      shown = selected;
      if (!selected.length) { results.replaceChildren("Select pictures above, or drop some of your own."); return; }
      results.textContent = "Comparing with the training images…";
      try { await post("api/prepare", { detector: true, ...settings }); } catch (error) { results.textContent = ""; throw error; }
      const { heat, numbers } = await answer("anomaly", selected, settings);
      results.replaceChildren(
        el("p", { className: "hint" }, `The threshold is ${numbers.threshold.toFixed(2)}: one in a hundred held-out images scores more. ` +
          `The score is the reconstruction error or ${settings.likelihood ? "the nats" : "the rarity"} of the code, whichever is larger, in standard deviations of held-out images. ` +
          (settings.likelihood ? `Nats are -log p(code) for each of its dimensions, by the prior ${settings.likelihood}. ` : "") +
          "Beside each picture: where its reconstruction fails."),
        el("div", { className: "cards" }, selected.map((name, i) =>
          card(name, heat.strange[i], numbers.anomalous[i], numbers.score[i], numbers.error[i], numbers.nats[i]))));
    }));
    const likelihood = options(
      el("select", { id: "likelihood", onchange: () => { settings.likelihood = likelihood.value; refresh(shown); } }), ["", ...app.model.densities]);
    likelihood.options[0].textContent = "distance to the training codes";
    return {
      element: el("div", {},
        app.model.densities.length ? el("div", { className: "bar" }, el("label", {}, "rarity of codes by ", likelihood)) : "", results,
        exports(app, () => ({ operation: "anomaly", pictures: app.tray.selected, settings }),
        { figure: "PNG", pictures: "pictures (.zip)" })),
      refresh,
    };
  },
};
