// A plot of many dots: one points at a dot, presses or walks to a place, and draws a lasso around dots.

import { el } from "./dom.js";

const BUTTONS = ["lasso2d", "zoom2d", "pan2d", "resetScale2d"]; // these alone: none that sends or saves elsewhere
const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

let loading = null;
function plotly() {
  loading ??= new Promise((done, failed) => {
    document.head.append(el("script", { src: "plotly.js", onload: () => done(window.Plotly), onerror: () => failed(new Error("The plot could not be loaded")) }));
  });
  return loading;
}

/** Traces of dots {x, y, images, errors, labels, classes}, coloured by ``label`` or by ``error``. */
function traces({ x, y, images, errors, labels, classes }, colour) {
  const kind = { mode: "markers", type: "scatter", hoverinfo: "none" };
  const marker = { size: 6, opacity: 0.8 };
  if (colour === "error" || !labels) {
    return [{ ...kind, x, y, ids: images, showlegend: false,
      marker: { ...marker, color: errors, colorscale: "Viridis", showscale: true, colorbar: { title: { text: "MSE" } } } }];
  }
  return classes.map(({ name, colour: color }) => { // in the order and the colours of the exported figure
    const members = labels.map((label, i) => (label === name ? i : -1)).filter((i) => i >= 0);
    const of = (values) => members.map((i) => values[i]);
    return { ...kind, name, x: of(x), y: of(y), ids: of(images), marker: { ...marker, color } };
  });
}

function layout() {
  const style = getComputedStyle(document.body);
  const axis = { gridcolor: style.getPropertyValue("--line").trim(), zeroline: false };
  return {
    dragmode: "lasso", margin: { l: 30, r: 10, t: 10, b: 30 }, paper_bgcolor: "transparent", plot_bgcolor: "transparent",
    font: { color: style.getPropertyValue("--ink").trim() }, xaxis: axis, yaxis: axis, legend: { orientation: "h" },
  };
}

export class Plot {
  lassoed = []; // numbers of images
  at = null;    // where the arrow keys have led

  /** ``on``: pointed(image, text), placed(x, y) and lassoed(count) are told what one does. */
  constructor(label, on) {
    this.on = on;
    this.element = el("div", {
      id: "plot", role: "application", tabIndex: 0, "aria-label": label, onkeydown: (event) => this.walk(event),
    });
    this.element.addEventListener("click", (event) => this.press(event), true);
  }

  async draw(dots, colour) {
    const library = await plotly();
    await library.react(this.element, traces(dots, colour), layout(), {
      responsive: true, displaylogo: false, displayModeBar: true, showSendToCloud: false, plotlyServerURL: "", modeBarButtons: [BUTTONS],
    });
    this.element.removeAllListeners?.();
    this.element.on("plotly_hover", ({ points: [{ data, pointNumber }] }) =>
      this.on.pointed(data.ids[pointNumber], data.name || `MSE ${data.marker.color[pointNumber].toPrecision(3)}`));
    this.element.on("plotly_selected", (event) => {
      this.lassoed = (event?.points ?? []).map((point) => point.data.ids[point.pointNumber]);
      this.on.lassoed(this.lassoed.length);
    });
  }

  press(event) {
    const drawn = this.element._fullLayout;
    if (!drawn || this.lassoed.length || !event.target.classList.contains("nsewdrag")) return;
    const box = this.element.getBoundingClientRect();
    const x = drawn.xaxis.p2d(event.clientX - box.left - drawn.margin.l);
    const y = drawn.yaxis.p2d(event.clientY - box.top - drawn.margin.t);
    if (Number.isFinite(x) && Number.isFinite(y)) this.on.placed(x, y);
  }

  walk(event) {
    const step = STEPS[event.key];
    if (!step || !this.element._fullLayout) return;
    event.preventDefault();
    const ranges = [this.element._fullLayout.xaxis.range, this.element._fullLayout.yaxis.range];
    this.at ??= ranges.map(([low, high]) => (low + high) / 2);
    this.at = this.at.map((value, i) => {
      const [low, high] = ranges[i];
      return Math.min(high, Math.max(low, value + step[i] * (high - low) / 30));
    });
    const [x, y] = this.at, [width, height] = ranges.map(([low, high]) => (high - low) / 60);
    window.Plotly.relayout(this.element, { shapes: [{
      type: "circle", xref: "x", yref: "y", line: { color: getComputedStyle(document.body).color, width: 3 },
      x0: x - width, x1: x + width, y0: y - height, y1: y + height,
    }] });
    this.on.placed(x, y);
  }
}
