// How strange pictures are to the model, and where.

import { address, answer, post } from "../api.js";
import { el, figure, latest, number, picture } from "../dom.js";
import { exports } from "./exports.js";

export const anomaly = {
  id: "anomaly",
  title: "Anomaly",
  supports: (model) => model.spaces.length > 0 && Object.keys(model.splits).length > 0,
  show(app) {
    const results = el("div", { "aria-live": "polite" });
    const refresh = latest((selected) => app.trying(async () => {
      if (!selected.length) { results.replaceChildren("Select pictures above, or drop some of your own."); return; }
      results.textContent = "Comparing with the training images…";
      try { await post("api/prepare", { detector: true }); } catch (error) { results.textContent = ""; throw error; }
      const { heat, numbers } = await answer("anomaly", selected, {});
      results.replaceChildren(
        el("p", { className: "hint" }, `A score above ${numbers.threshold.toFixed(2)} is strange: one in a hundred held-out images has it. ` +
          "It is the larger of the reconstruction error and the rarity of the code, in standard deviations of held-out images’."),
        el("div", { className: "row" }, selected.map((name, i) => el("div", {},
          picture(address(name), app.tray.text(name)),
          figure(heat.strange[i], `where ${app.tray.text(name)} is strange`, el("span", { className: numbers.anomalous[i] ? "bad" : "" },
            `${numbers.score[i].toFixed(1)}${numbers.anomalous[i] ? " strange" : ""}`)),
          el("p", { className: "note" }, `MSE ${number(numbers.error[i])}`)))));
    }));
    return {
      element: el("div", {}, results, exports(app, () => ({ operation: "anomaly", pictures: app.tray.selected, settings: {} }),
        { figure: "PNG", pictures: "pictures (.zip)" })),
      refresh,
    };
  },
};
