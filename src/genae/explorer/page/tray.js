// The pictures at the top: added, selected in order, kept over a reload.

import { address, get, upload } from "./api.js";
import { el, options, picture } from "./dom.js";

const KEPT = "genae-pictures";

export class Tray {
  constructor(app) {
    this.app = app;
    this.items = [];    // {name, text}
    this.selected = []; // names, in order
    this.next = 0;
    const at = (id) => document.getElementById(id);
    [this.list, this.error, this.hint, this.all] = ["pictures", "tray-error", "tray-hint", "all"].map(at);
    at("files").addEventListener("change", (event) => {
      this.addFiles([...event.target.files]); // a copy: the next line empties the list
      event.target.value = "";
    });
    at("none").addEventListener("click", () => this.select([]));
    at("clear").addEventListener("click", () => { this.items = []; this.select([]); });
    at("more").addEventListener("click", () => this.app.trying(() => this.addData(12)));
    at("split").addEventListener("change", () => { this.next = 0; });
    this.all.addEventListener("click", () => { this.list.classList.toggle("all"); this.measure(); });
    window.addEventListener("resize", () => this.measure());
    this.listen(at("tray"));
    const splits = Object.keys(app.model.splits);
    options(at("split"), splits, "test");
    at("more").disabled = at("split").disabled = !splits.length;
  }

  /** Files are dropped or pasted anywhere on the page. */
  listen(zone) {
    document.addEventListener("dragover", (event) => { event.preventDefault(); zone.classList.add("over"); });
    document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) zone.classList.remove("over"); });
    document.addEventListener("drop", (event) => {
      event.preventDefault();
      zone.classList.remove("over");
      this.addFiles([...event.dataTransfer.files]);
    });
    document.addEventListener("paste", (event) => this.addFiles([...event.clipboardData.files]));
  }

  async start() {
    const lost = await this.restore();
    if (!this.items.length && Object.keys(this.app.model.splits).length) {
      await this.addData(12);
      this.select(this.items.slice(0, 4).map((item) => item.name));
    } else {
      this.select(this.selected);
    }
    if (lost) this.complain(`${lost} pictures are no longer kept; add them again.`);
  }

  /** The pictures of before a reload; how many of them the server has forgotten. */
  async restore() {
    const kept = JSON.parse(sessionStorage.getItem(KEPT) || "null");
    if (kept?.run !== this.app.model.run) return 0;
    const isThere = await Promise.all(kept.items.map(async (item) => (await fetch(address(item.name))).ok));
    this.items = kept.items.filter((_, i) => isThere[i]);
    this.selected = kept.selected;
    this.next = this.items.length ? kept.next : 0;
    return kept.items.length - this.items.length;
  }

  async addData(count) {
    const split = document.getElementById("split").value;
    const start = this.next;
    this.next += count; // before the answer: a second press asks for the next ones
    const { pictures, labels, total } = await get(`api/data?split=${split}&start=${start}&count=${count}`);
    pictures.forEach((name, i) => this.add(name, `${split} image${labels[i] ? `, ${labels[i]}` : ""}`));
    if (this.next >= total) this.next = 0;
    this.draw();
  }

  async addFiles(files) {
    const added = [], failed = [];
    for (const file of files) {
      try {
        const name = await upload(file);
        this.add(name, file.name);
        added.push(name);
      } catch (error) {
        failed.push(`${file.name}: ${error.message}`);
      }
    }
    if (added.length) this.select([...this.selected.filter((name) => !added.includes(name)), ...added]);
    if (failed.length) this.complain(failed.join("; "));
  }

  /** Say what went wrong beside the pictures, in sight, until the next selection. */
  complain(text) {
    this.error.textContent = text;
    if (text) this.error.scrollIntoView({ block: "nearest" });
  }

  add(name, text) {
    if (!this.items.some((item) => item.name === name)) this.items.push({ name, text });
  }

  /** Keep an image that the model made as a picture, and select it. */
  async pin(source, text) {
    const bytes = Uint8Array.from(atob(source.split(",")[1]), (letter) => letter.charCodeAt(0)); // of a data address
    const name = await upload(new Blob([bytes]));
    this.add(name, text);
    this.select([...this.selected.filter((other) => other !== name), name]);
  }

  text(name) {
    return this.items.find((item) => item.name === name)?.text ?? "picture";
  }

  select(names) {
    this.complain("");
    this.selected = names.filter((name) => this.items.some((item) => item.name === name));
    this.draw();
    this.app.refresh();
  }

  toggle(name) {
    this.select(this.selected.includes(name) ? this.selected.filter((other) => other !== name) : [...this.selected, name]);
    this.list.querySelector(`[data-name="${name}"]`)?.focus();
  }

  remove(name) {
    const place = this.items.findIndex((item) => item.name === name);
    this.items.splice(place, 1);
    this.select(this.selected);
    (this.list.children[Math.min(place, this.items.length - 1)]?.querySelector("button") ?? document.getElementById("more")).focus();
  }

  draw() {
    sessionStorage.setItem(KEPT, JSON.stringify({
      run: this.app.model.run, items: this.items, selected: this.selected, next: this.next,
    }));
    this.list.replaceChildren(...this.items.map((item) => this.thumbnail(item)));
    this.hint.textContent = !this.items.length ? "Drop pictures here, or add some."
      : `${this.selected.length} of ${this.items.length} selected; panels use them in the order of their numbers.`;
    this.measure();
  }

  thumbnail({ name, text }) {
    const place = this.selected.indexOf(name);
    return el("li", {},
      el("button", {
        type: "button", className: "picture", title: text, "data-name": name, "aria-pressed": String(place >= 0),
        onclick: () => this.toggle(name),
      }, picture(address(name), text), place >= 0 ? el("span", { className: "number" }, String(place + 1)) : ""),
      el("button", {
        type: "button", className: "remove", "aria-label": `Remove ${text}`,
        onclick: () => this.remove(name),
      }, "×"));
  }

  /** Three rows are shown; a button shows the others. */
  measure() {
    const isWhole = this.list.classList.contains("all");
    this.all.hidden = !isWhole && this.list.scrollHeight <= this.list.clientHeight + 1;
    this.all.textContent = isWhole ? "Show fewer" : `Show all ${this.items.length}`;
  }
}
