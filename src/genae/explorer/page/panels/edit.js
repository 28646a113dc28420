// Pictures moved along directions: of the data's labels and attributes, saved ones, or new ones from two piles.

import { address, answer, post } from "../api.js";
import { el, figure, latest, number, options, picture, slider } from "../dom.js";
import { exports } from "./exports.js";

const MOST = 12; // pictures that are edited at once
const piles = { with: [], without: [] }; // they outlive the panel

/** Put pictures onto a pile of the edit panel; the map's lasso does. */
export function pile(which, names) {
  piles[which] = [...new Set([...piles[which], ...names])];
}

export const edit = {
  id: "edit",
  title: "Edit",
  supports: (model) => model.spaces.length > 0,
  show(app) {
    const amounts = {};
    let band = "", selected = [];
    const sliders = el("div", {});
    const results = el("div", { className: "row", "aria-live": "polite", id: "edited" });
    const request = () => ({ operation: "edit", pictures: selected, settings: { amounts, band } });
    const live = latest(() => app.trying(async () => {
      const shown = selected;
      if (!shown.length) { results.replaceChildren("Select pictures above."); return; }
      const { images, numbers } = await answer("edit", shown, { amounts, band });
      results.replaceChildren(...shown.map((name, i) => el("div", {},
        figure(images.reconstruction[i], `reconstruction of ${app.tray.text(name)}`, "reconstruction", `MSE ${number(numbers.mse[i])}`),
        figure(images.edited[i], `edited ${app.tray.text(name)}`, "edited"))));
      results.dataset.shown = String(Number(results.dataset.shown || 0) + 1);
    }));
    const names = () => [...app.model.saved, ...app.model.attributes];
    const choice = options(el("select", {}), names());
    const more = el("p", { className: "hint" });
    const waiting = el("p", { className: "hint", role: "status" });
    const add = (name) => app.trying(async () => {
      if (!name || name in amounts || waiting.textContent) return;
      waiting.textContent = `Learning the direction ${name}…`;
      try { await post("api/prepare", { direction: name }); } finally { waiting.textContent = ""; }
      amounts[name] = 0;
      const row = slider(name, { min: -3, max: 3, step: 0.05, value: 0,
        changed: (value) => { amounts[name] = value; live(); },
        removed: () => { delete amounts[name]; row.remove(); live(); } });
      sliders.append(row);
      live();
    });
    const shownPiles = el("div", { className: "columns" });
    const drawPiles = () => shownPiles.replaceChildren(...["with", "without"].map((which) => el("section", {},
      el("h3", {}, which === "with" ? "Pile: with" : "Pile: without"),
      el("div", { className: "bar" },
        el("button", { type: "button", id: `pile-${which}`, onclick: () => { pile(which, app.tray.selected); drawPiles(); } }, "Add the selected"),
        el("button", { type: "button", onclick: () => { piles[which] = []; drawPiles(); } }, "Empty")),
      el("div", { className: "row" }, piles[which].map((name) => el("button", {
        type: "button", className: "picture", title: "Take it off the pile",
        onclick: () => { piles[which] = piles[which].filter((other) => other !== name); drawPiles(); },
      }, picture(address(name), `${app.tray.text(name)}; press to take it off the pile`)))))));
    const label = el("input", { type: "text", placeholder: "name, such as smiling", "aria-label": "Name of the new direction" });
    const save = el("button", { type: "button", id: "save-direction", onclick: () => app.trying(async () => {
      const { directions } = await post("api/directions", { ...piles, name: label.value });
      app.model.saved = directions;
      options(choice, names(), label.value.trim());
      add(label.value.trim());
    }) }, "Save to the run");
    const bands = options(el("select", { onchange: () => { band = bands.value; live(); } }), ["", ...app.model.bands]);
    drawPiles();
    return {
      element: el("div", {},
        el("div", { className: "bar" }, el("label", {}, "direction ", choice),
          el("button", { type: "button", id: "add-direction", onclick: () => add(choice.value) }, "Add a slider"),
          app.model.bands.length ? el("label", {}, "only in layers ", bands) : ""),
        waiting, sliders, more, results,
        exports(app, request),
        el("p", { className: "hint" }, "The figure and its command line show one direction at a time."),
        el("h2", {}, "A direction of your own"),
        el("p", { className: "hint" }, "Select pictures above and put them on two piles: those that have something, and those that lack it."),
        shownPiles, el("div", { className: "bar" }, label, save)),
      refresh(pictures) {
        selected = pictures.slice(0, MOST);
        more.textContent = pictures.length > MOST ? `The first ${MOST} of the selected pictures are edited.` : "";
        drawPiles();
        live();
      },
    };
  },
};
