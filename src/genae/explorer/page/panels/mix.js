// Styles of the last selected picture in the others (models with styles).

import { address, answer } from "../api.js";
import { el, figure, latest, options, picture } from "../dom.js";
import { exports } from "./exports.js";

export const mix = {
  id: "mix",
  title: "Mix",
  supports: (model) => model.bands.length > 0,
  show(app) {
    const settings = { bands: [app.model.bands[0]], sources: 1 };
    let selected = [];
    const results = el("div", { "aria-live": "polite" });
    const live = latest(() => app.trying(async () => {
      const shown = selected;
      if (shown.length < 2) { results.replaceChildren("Select two or more pictures above; the last one gives its styles."); return; }
      const { images } = await answer("mix", shown, settings);
      results.replaceChildren(
        el("h3", {}, "Styles from"),
        el("div", { className: "row" }, picture(address(shown.at(-1)), app.tray.text(shown.at(-1)))),
        el("h3", {}, "In the others"),
        el("div", { className: "row" }, Object.values(images)[0].map((image, i) => figure(
          image, `${app.tray.text(shown[i])} with its ${settings.bands[0]} styles`, `picture ${i + 1}`))));
    }));
    const band = options(el("select", { onchange: () => { settings.bands = [band.value]; live(); } }), app.model.bands);
    return {
      element: el("div", {}, el("div", { className: "bar" }, el("label", {}, "layers ", band)), results,
        exports(app, () => ({ operation: "mix", pictures: selected, settings }), { figure: "PNG", pictures: "pictures (.zip)" })),
      refresh(pictures) { selected = pictures; live(); },
    };
  },
};
