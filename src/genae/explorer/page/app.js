// The page: opens the model, shows the panels that it supports, and says what went wrong.

import { get } from "./api.js";
import { el } from "./dom.js";
import { anomaly } from "./panels/anomaly.js";
import { edit } from "./panels/edit.js";
import { interpolate } from "./panels/interpolate.js";
import { map } from "./panels/map.js";
import { mix } from "./panels/mix.js";
import { parts } from "./panels/parts.js";
import { reconstruct } from "./panels/reconstruct.js";
import { sample } from "./panels/sample.js";
import { transport } from "./panels/transport.js";
import { Tray } from "./tray.js";

const PANELS = [reconstruct, sample, interpolate, edit, transport, mix, parts, map, anomaly];

class App {
  kept = new Map();

  async start() {
    this.model = await get("api/model");
    const [channels, height, width] = this.model.image_shape;
    document.title = `${this.model.name} · genae`;
    document.getElementById("model").textContent =
      `${this.model.name}: ${this.model.model}, ${channels} × ${height} × ${width}` +
      (this.model.no_data ? `. Its data are not here (${this.model.no_data})` : "");
    this.panels = PANELS.filter((panel) => panel.supports(this.model));
    this.tabs = document.getElementById("tabs");
    this.root = document.getElementById("panel");
    this.tray = new Tray(this);
    this.tabs.replaceChildren(...this.panels.map((panel) => el("button", {
      type: "button", role: "tab", id: `tab-${panel.id}`, "aria-controls": "panel", onclick: () => this.open(panel),
      onkeydown: (event) => this.walk(event),
    }, panel.title)));
    this.open(this.panels.find((panel) => `#${panel.id}` === location.hash) || this.panels[0]);
    document.querySelector(".skip").addEventListener("click", (event) => { event.preventDefault(); this.root.focus(); });
    await this.tray.start();
  }

  open(panel) {
    this.panel = panel;
    history.replaceState(null, "", `${location.pathname}#${panel.id}`); // without a token in the address
    for (const tab of this.tabs.children) {
      const isOpen = tab.id === `tab-${panel.id}`;
      tab.setAttribute("aria-selected", String(isOpen));
      tab.tabIndex = isOpen ? 0 : -1;
    }
    this.root.setAttribute("aria-labelledby", `tab-${panel.id}`);
    if (!this.kept.has(panel)) this.kept.set(panel, panel.show(this)); // a panel that one comes back to is as one left it
    this.shown = this.kept.get(panel);
    this.root.replaceChildren(this.shown.element);
    this.refresh();
  }

  /** The selection has changed, or the panel. */
  refresh() {
    this.shown?.refresh([...this.tray.selected]);
  }

  walk(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const place = this.panels.indexOf(this.panel);
    this.open(this.panels[(place + step + this.panels.length) % this.panels.length]);
    document.getElementById(`tab-${this.panel.id}`).focus();
  }

  say(text) {
    document.getElementById("error").textContent = text;
    this.said = text;
  }

  /** What goes wrong is said above the panel, until something else is done with success. */
  async trying(work) {
    const before = this.said;
    try {
      const result = await work();
      if (this.said === before) this.say("");
      return result;
    } catch (error) {
      this.say(error.message);
    }
  }
}

const app = new App();
app.start().catch((error) => { document.getElementById("error").textContent = error.message; });
