// How unlike the training images pictures are to the model, and where.

import { address, answer, post } from "../api.js";
import { el, latest, number, picture } from "../dom.js";
import { exports } from "./exports.js";

export const anomaly = {
  id: "anomaly",
  title: "Anomaly",
  supports: (model) => model.spaces.length > 0 && Object.keys(model.splits).length > 0,
  show(app) {
    const results = el("div", { "aria-live": "polite" });
    const card = (name, heat, isUnusual, score, error) => el("figure", { className: "card" },
      picture(address(name), app.tray.text(name)), picture(heat, `where the reconstruction of ${app.tray.text(name)} fails`),
      el("figcaption", {},
        el("div", { className: isUnusual ? "verdict bad" : "verdict" }, isUnusual ? "unusual: above the threshold" : "usual"),
        el("div", {}, `score ${score.toFixed(1)}`), el("div", {}, `MSE ${number(error)}`)));
    const refresh = latest((selected) => app.trying(async () => {
      if (!selected.length) { results.replaceChildren("Select pictures above, or drop some of your own."); return; }
      results.textContent = "Comparing with the training images…";
      try { await post("api/prepare", { detector: true }); } catch (error) { results.textContent = ""; throw error; }
      const { heat, numbers } = await answer("anomaly", selected, {});
      results.replaceChildren(
        el("p", { className: "hint" }, `The threshold is ${numbers.threshold.toFixed(2)}: one in a hundred held-out images scores more. ` +
          "The score is the reconstruction error or the rarity of the code, whichever is larger, in standard deviations of held-out images. " +
          "Beside each picture: where its reconstruction fails."),
        el("div", { className: "cards" }, selected.map((name, i) =>
          card(name, heat.strange[i], numbers.anomalous[i], numbers.score[i], numbers.error[i]))));
    }));
    return {
      element: el("div", {}, results, exports(app, () => ({ operation: "anomaly", pictures: app.tray.selected, settings: {} }),
        { figure: "PNG", pictures: "pictures (.zip)" })),
      refresh,
    };
  },
};
