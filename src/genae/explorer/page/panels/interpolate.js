// Between two to four pictures: a pad whose corners are pictures, and the way from one to the next.

import { address, answer } from "../api.js";
import { el, latest, options, picture } from "../dom.js";
import { exports } from "./exports.js";

const CORNERS = { 2: [[0, 0.5], [1, 0.5]], 3: [[0.5, 0], [0, 1], [1, 1]], 4: [[0, 0], [1, 0], [0, 1], [1, 1]] };

/** How much of each corner there is at a place of the square; they sum to 1. */
export function weights(count, x, y) {
  if (count === 2) return [1 - x, x];
  if (count === 4) return [(1 - x) * (1 - y), x * (1 - y), (1 - x) * y, x * y];
  const raw = [1 - y, Math.max(0, y / 2 + 0.5 - x), Math.max(0, x - 0.5 + y / 2)];
  const total = raw.reduce((a, b) => a + b);
  return raw.map((share) => share / total);
}

export const interpolate = {
  id: "interpolate",
  title: "Interpolate",
  supports: (model) => model.spaces.length > 0,
  show(app) {
    const settings = { space: "code", path: "linear", steps: 9 };
    let x = 0.5, y = 0.5, anchors = [];
    const blend = el("img", { className: "large", alt: "the blend at the handle", id: "blend" });
    const handle = el("span", { className: "handle" });
    const pad = el("div", {
      className: "pad", id: "pad", tabIndex: 0, role: "application",
      "aria-label": "Place between the pictures: drag, or use the arrow keys",
    });
    const strip = el("div", { className: "row", "aria-live": "polite" });
    const request = () => ({
      operation: "interpolate", pictures: anchors, settings: { ...settings, square: anchors.length === 4 },
    });
    const live = latest(() => app.trying(async () => {
      const corners = anchors;
      if (corners.length < 2) { blend.removeAttribute("src"); return; }
      const { images } = await answer("interpolate", corners, { space: settings.space, weights: weights(corners.length, x, y) });
      if (corners !== anchors) return; // the selection has changed: the next answer is on its way
      blend.src = images.between[0];
      pad.dataset.shown = String(Number(pad.dataset.shown || 0) + 1);
    }));
    const way = latest(() => app.trying(async () => {
      if (anchors.length < 2) { strip.replaceChildren(); return; }
      const { images } = await answer("interpolate", anchors, settings);
      strip.replaceChildren(...images.between.map((image, i) => picture(image, `step ${i + 1} of the way`)));
    }));
    const move = (newX, newY) => {
      [x, y] = [newX, newY].map((value) => Math.min(1, Math.max(0, value)));
      handle.style.left = `${100 * x}%`;
      handle.style.top = `${100 * y}%`;
      live();
    };
    const drag = (event) => {
      const box = pad.getBoundingClientRect();
      move((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
    };
    pad.addEventListener("pointerdown", (event) => { pad.setPointerCapture(event.pointerId); drag(event); });
    pad.addEventListener("pointermove", (event) => { if (event.buttons) drag(event); });
    pad.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: [-0.05, 0], ArrowRight: [0.05, 0], ArrowUp: [0, -0.05], ArrowDown: [0, 0.05] }[event.key];
      if (!step) return;
      event.preventDefault();
      move(x + step[0], y + step[1]);
    });
    const again = () => { live(); way(); };
    const space = options(el("select", { onchange: () => { settings.space = space.value; again(); } }), app.model.spaces);
    const path = options(el("select", { onchange: () => { settings.path = path.value; again(); } }), ["linear", "spherical"]);
    const steps = el("input", { type: "number", min: 2, max: 20, value: 9, onchange: () => {
      settings.steps = Math.min(20, Math.max(2, Math.round(Number(steps.value) || 9)));
      again();
    } });
    const hint = el("p", { className: "hint" });
    return {
      element: el("div", {},
        hint,
        el("div", { className: "columns" }, pad, el("figure", {}, blend, el("figcaption", {}, "at the handle"))),
        el("div", { className: "bar" }, el("label", {}, "space ", space), el("label", {}, "path ", path),
          el("label", {}, "steps ", steps)),
        strip,
        exports(app, request, { figure: "PNG", animation: "GIF", codes: "codes (.npz)", pictures: "pictures (.zip)" })),
      refresh(selected) {
        anchors = selected.slice(0, 4);
        const places = CORNERS[anchors.length] || [];
        hint.textContent = anchors.length < 2 ? "Select two to four pictures above."
          : selected.length > 4 ? "The first four of the selected pictures are the corners." : anchors.length === 4 ? "Drag on the square. The PNG is the square, with straight lines; below, and in the GIF, the way from one to the next."
          : "Drag on the square.";
        pad.replaceChildren(...places.map(([left, top], i) => {
          const corner = picture(address(anchors[i]), `corner ${i + 1}: ${app.tray.text(anchors[i])}`);
          corner.style.left = `${78 * left}%`;
          corner.style.top = `${78 * top}%`;
          return corner;
        }), handle);
        move(x, y);
        way();
      },
    };
  },
};
