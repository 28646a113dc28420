// Small helpers for elements.

/** An element with properties (``on...`` are listeners, ``aria-...`` and ``data-...`` attributes) and children. */
export function el(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key in element && key !== "list") element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children.flat());
  return element;
}

export function picture(source, text, large = false) {
  return el("img", { src: source, alt: text, className: large ? "large" : "", draggable: false });
}

/** A picture with the lines of its caption. */
export function figure(source, text, ...lines) {
  return el("figure", {}, picture(source, text), el("figcaption", {}, lines.map((line) => el("div", {}, line))));
}

export function options(select, names, first) {
  select.replaceChildren(...names.map((name) => el("option", { value: name, selected: name === first }, name)));
  return select;
}

/** A labelled range with its value beside it; ``changed(value)`` while it moves. */
export function slider(text, { min, max, step, value, changed, removed }) {
  const id = `slider-${Math.random().toString(36).slice(2)}`;
  const output = el("output", { htmlFor: id }, value.toFixed(2));
  const input = el("input", { id, type: "range", min, max, step, value, "aria-label": text, oninput: () => {
    output.value = Number(input.value).toFixed(2);
    changed(Number(input.value));
  } });
  input.value = value;
  const remove = removed ? el("button", { type: "button", "aria-label": `Remove ${text}`, onclick: removed }, "×") : "";
  return el("div", { className: "slider" }, el("label", { htmlFor: id }, text), input, output, remove);
}

/** Runs the newest of many calls: one at a time, the ones in between are left out. */
export function latest(work) {
  let busy = false, waiting = null;
  return async function run(...values) {
    if (busy) { waiting = values; return; }
    busy = true;
    try { await work(...values); } finally {
      busy = false;
      if (waiting) { const next = waiting; waiting = null; run(...next); }
    }
  };
}

export const number = (value) => value >= 1000 ? value.toFixed(0) : value.toPrecision(3);
