// Where the parts of a model with parts occur, and what one looks like when another picture gives its appearance.

import { address, answer } from "../api.js";
import { el, figure, latest, picture } from "../dom.js";
import { exports } from "./exports.js";

const MOST = 12; // pictures that are shown at once

export const parts = {
  id: "parts",
  title: "Parts",
  supports: (model) => model.parts > 0,
  show(app) {
    let selected = [];
    const more = el("p", { className: "hint" });
    const maps = el("div", { "aria-live": "polite" });
    const swaps = el("div", { className: "row", "aria-live": "polite" });
    const live = latest(() => app.trying(async () => {
      const shown = selected;
      if (!shown.length) { maps.replaceChildren("Select pictures above."); swaps.replaceChildren(); return; }
      const { heat } = await answer("parts", shown, {});
      maps.replaceChildren(
        el("div", { className: "row" }, shown.map((name) => picture(address(name), app.tray.text(name)))),
        ...Object.entries(heat).flatMap(([part, row]) => [el("h3", {}, part),
          el("div", { className: "row" }, row.map((image, i) => picture(image, `where ${part} occurs in ${app.tray.text(shown[i])}`)))]));
      if (shown.length < 2) { swaps.replaceChildren("Select a second picture: it gives the appearances."); return; }
      const { images, numbers } = await answer("swap", shown.slice(0, 2), {});
      swaps.replaceChildren(...images.swapped.map((image, i) => figure(image, i ? `part ${numbers.parts[i - 1]} swapped` : "reconstruction",
        i ? `part ${numbers.parts[i - 1]}` : "as it is")));
    }));
    return {
      element: el("div", {},
        el("h2", {}, "Where each part occurs"), more, maps,
        exports(app, () => ({ operation: "parts", pictures: selected, settings: {} }), { figure: "PNG", pictures: "pictures (.zip)" }),
        el("h2", {}, "The first picture with one part’s appearance from the second"), swaps,
        exports(app, () => ({ operation: "swap", pictures: selected.slice(0, 2), settings: {} }), { figure: "PNG", pictures: "pictures (.zip)" })),
      refresh(pictures) {
        selected = pictures.slice(0, MOST);
        more.textContent = pictures.length > MOST ? `The first ${MOST} of the selected pictures are shown.` : "";
        live();
      },
    };
  },
};
