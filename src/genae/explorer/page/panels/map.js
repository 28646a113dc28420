// The codes of the run's data in two dimensions: hover shows a picture, a click decodes the place, a lasso makes a pile.

import { answer, dataAddress, post } from "../api.js";
import { el, latest, options } from "../dom.js";
import { Plot } from "../plot.js";
import { pile } from "./edit.js";
import { exports } from "./exports.js";

const MOST = 48; // pictures that a lasso selects; piles take all
const LABEL = "Map of the codes of the data: the arrow keys walk over it, and the picture of the place is shown beside it";

export const map = {
  id: "map",
  title: "Map",
  supports: (model) => model.spaces.length > 0 && Object.keys(model.splits).length > 0,
  show(app) {
    const settings = { method: "pca", split: "test", count: 1000 };
    let dots = null, colour = "label";
    const beside = el("img", { className: "large", alt: "the picture under the pointer", id: "under" });
    const caption = el("figcaption", {}, "Point at a dot, or press any place.");
    const status = el("p", { className: "hint", role: "status" });
    const plot = new Plot(LABEL, {
      pointed(image, text) { beside.src = dataAddress(image); caption.textContent = text; },
      placed: latest((x, y) => app.trying(async () => {
        beside.src = (await post("api/map/place", { settings, x, y })).images.place[0];
        caption.textContent = `decoded at ${x.toFixed(2)}, ${y.toFixed(2)}`;
      })),
      lassoed(count) { status.textContent = count ? `${count} pictures are inside the lasso.` : ""; },
    });
    const draw = () => app.trying(async () => { if (dots) await plot.draw(dots, colour); });
    const load = latest(() => app.trying(async () => {
      status.textContent = "Encoding the data…";
      try { dots = (await answer("map", [], settings)).numbers; } finally { status.textContent = ""; }
      await draw();
    }));
    const choice = (key, names) => {
      const select = options(el("select", { onchange: () => { settings[key] = select.value; load(); } }), names, settings[key]);
      return select;
    };
    const by = options(el("select", { onchange: () => { colour = by.value; draw(); } }), ["label", "error"]);
    const keep = async (images) => (await post("api/data/keep", { images })).pictures;
    const toPile = (which) => el("button", { type: "button", onclick: () => app.trying(async () => {
      const pictures = await keep(plot.lassoed);
      pile(which, pictures);
      status.textContent = `${pictures.length} pictures are on the pile “${which}” of the edit panel.`;
    }) }, `Lasso to the pile “${which}”`);
    const toTray = el("button", { type: "button", onclick: () => app.trying(async () => {
      const all = plot.lassoed, pictures = await keep(all.slice(0, MOST));
      pictures.forEach((name, i) => app.tray.add(name, `from the map, ${i}`));
      app.tray.select(pictures);
      if (all.length > MOST) status.textContent = `The first ${MOST} of them are selected.`;
    }) }, "Select the lassoed");
    load();
    return {
      element: el("div", {},
        el("div", { className: "bar" }, el("label", {}, "by ", choice("method", ["pca", "umap"])),
          el("label", {}, "of ", choice("split", Object.keys(app.model.splits))), el("label", {}, "colour ", by)),
        el("div", { className: "columns" }, plot.element, el("figure", {}, beside, caption)),
        el("div", { className: "bar" }, toPile("with"), toPile("without"), toTray), status,
        exports(app, () => ({ operation: "map", settings: { ...settings, colour } }), { figure: "PNG", codes: "codes (.npz)" })),
      refresh: () => {},
    };
  },
};
