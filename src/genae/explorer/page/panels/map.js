// The codes of the run's data in two dimensions: hover shows a picture, a click decodes the place, a lasso makes a pile.

import { dataAddress, post } from "../api.js";
import { el, latest, options } from "../dom.js";
import { pile } from "./edit.js";
import { exports } from "./exports.js";

const MOST = 48; // pictures that a lasso selects; piles take all

let loading = null;
function plotly() {
  loading ??= new Promise((done, failed) => {
    document.head.append(el("script", { src: "plotly.js", onload: () => done(window.Plotly), onerror: () => failed(new Error("The plot could not be loaded")) }));
  });
  return loading;
}

export const map = {
  id: "map",
  title: "Map",
  supports: (model) => model.spaces.length > 0 && Object.keys(model.splits).length > 0,
  show(app) {
    const settings = { method: "pca", split: "test", count: 1000 };
    let dots = null, colour = "label", lassoed = [];
    const plot = el("div", {
      id: "plot", role: "application", tabIndex: 0,
      "aria-label": "Map of the codes of the data: the arrow keys walk over it, and the picture of the place is shown beside it",
      onkeydown: (event) => walk(event),
    });
    const beside = el("img", { className: "large", alt: "the picture under the pointer", id: "under" });
    const caption = el("figcaption", {}, "Point at a dot, or press any place.");
    const status = el("p", { className: "hint", role: "status" });
    const place = latest((x, y) => app.trying(async () => {
      beside.src = (await post("api/map/place", { ...settings, x, y })).images.place[0];
      caption.textContent = `decoded at ${x.toFixed(2)}, ${y.toFixed(2)}`;
    }));
    const traces = () => {
      const dot = { size: 6, opacity: 0.8 };
      if (colour === "error" || !dots.labels) {
        return [{ x: dots.x, y: dots.y, ids: dots.images, mode: "markers", type: "scatter", hoverinfo: "none", showlegend: false,
          marker: { ...dot, color: dots.errors, colorscale: "Viridis", showscale: true, colorbar: { title: { text: "MSE" } } } }];
      }
      return dots.classes.map(({ name, colour }) => { // in the order and the colours of the exported figure
        const members = dots.labels.map((label, i) => (label === name ? i : -1)).filter((i) => i >= 0);
        const of = (values) => members.map((i) => values[i]);
        return { name, x: of(dots.x), y: of(dots.y), ids: of(dots.images), mode: "markers", type: "scatter", hoverinfo: "none",
          marker: { ...dot, color: colour } };
      });
    };
    const draw = () => app.trying(async () => {
      if (!dots) return;
      const library = await plotly();
      const style = getComputedStyle(document.body);
      const ink = style.getPropertyValue("--ink").trim();
      const axis = { gridcolor: style.getPropertyValue("--line").trim(), zeroline: false };
      await library.react(plot, traces(), {
        dragmode: "lasso", margin: { l: 30, r: 10, t: 10, b: 30 }, paper_bgcolor: "transparent", plot_bgcolor: "transparent",
        font: { color: ink }, xaxis: axis, yaxis: axis, legend: { orientation: "h" },
      }, {
        responsive: true, displaylogo: false, displayModeBar: true, showSendToCloud: false, plotlyServerURL: "",
        modeBarButtons: [["lasso2d", "zoom2d", "pan2d", "resetScale2d"]], // these alone: none that sends or saves elsewhere
      });
      plot.removeAllListeners?.();
      plot.on("plotly_hover", ({ points }) => {
        beside.src = dataAddress(points[0].data.ids[points[0].pointNumber]);
        caption.textContent = points[0].data.name || `MSE ${points[0].data.marker.color[points[0].pointNumber].toPrecision(3)}`;
      });
      plot.on("plotly_selected", (event) => {
        lassoed = (event?.points ?? []).map((point) => point.data.ids[point.pointNumber]);
        status.textContent = lassoed.length ? `${lassoed.length} pictures are inside the lasso.` : "";
      });
    });
    plot.addEventListener("click", (event) => {
      const layout = plot._fullLayout;
      if (!layout || lassoed.length || !event.target.classList.contains("nsewdrag")) return;
      const box = plot.getBoundingClientRect();
      const x = layout.xaxis.p2d(event.clientX - box.left - layout.margin.l);
      const y = layout.yaxis.p2d(event.clientY - box.top - layout.margin.t);
      if (Number.isFinite(x) && Number.isFinite(y)) place(x, y);
    }, true);
    let at = null; // where the arrow keys have led
    const walk = (event) => {
      const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
      if (!step || !plot._fullLayout) return;
      event.preventDefault();
      const axes = [plot._fullLayout.xaxis, plot._fullLayout.yaxis];
      at ??= axes.map(({ range }) => (range[0] + range[1]) / 2);
      at = at.map((value, i) => {
        const [low, high] = axes[i].range;
        return Math.min(high, Math.max(low, value + step[i] * (high - low) / 30));
      });
      window.Plotly.relayout(plot, { shapes: [{
        type: "circle", xref: "x", yref: "y", line: { color: getComputedStyle(document.body).color, width: 3 },
        x0: at[0] - (axes[0].range[1] - axes[0].range[0]) / 60, x1: at[0] + (axes[0].range[1] - axes[0].range[0]) / 60,
        y0: at[1] - (axes[1].range[1] - axes[1].range[0]) / 60, y1: at[1] + (axes[1].range[1] - axes[1].range[0]) / 60,
      }] });
      place(at[0], at[1]);
    };
    const load = latest(() => app.trying(async () => {
      status.textContent = "Encoding the data…";
      try { dots = await post("api/map", settings); } finally { status.textContent = ""; }
      await draw();
    }));
    const choice = (key, names) => {
      const select = options(el("select", { onchange: () => { settings[key] = select.value; load(); } }), names, settings[key]);
      return select;
    };
    const by = options(el("select", { onchange: () => { colour = by.value; draw(); } }), ["label", "error"]);
    const take = (which) => el("button", { type: "button", onclick: () => app.trying(async () => {
      const wanted = which ? lassoed : lassoed.slice(0, MOST);
      const { pictures } = await post("api/data/keep", { images: wanted });
      if (which) {
        pile(which, pictures);
        status.textContent = `${pictures.length} pictures are on the pile “${which}” of the edit panel.`;
        return;
      }
      pictures.forEach((name, i) => app.tray.add(name, `from the map, ${i}`));
      app.tray.select(pictures);
      if (wanted.length < lassoed.length) status.textContent = `The first ${MOST} of them are selected.`;
    }) }, which ? `Lasso to the pile “${which}”` : "Select the lassoed");
    load();
    return {
      element: el("div", {},
        el("div", { className: "bar" }, el("label", {}, "by ", choice("method", ["pca", "umap"])),
          el("label", {}, "of ", choice("split", Object.keys(app.model.splits))), el("label", {}, "colour ", by)),
        el("div", { className: "columns" }, plot, el("figure", {}, beside, caption)),
        el("div", { className: "bar" }, take("with"), take("without"), take("")), status,
        exports(app, () => ({ ...settings, colour }), { figure: "PNG", codes: "codes (.npz)" }, "map/")),
      refresh: () => {},
    };
  },
};
