// The line below every panel: files, and the command line that makes the same figure.

import { download, post } from "../api.js";
import { el } from "../dom.js";

/** ``request()`` is what is shown now: {operation, pictures, settings}. */
export function exports(app, request, kinds = { figure: "PNG", codes: "codes (.npz)", pictures: "pictures (.zip)" }) {
  const place = el("div", { role: "status" });
  const button = ([kind, text]) => el("button", {
    type: "button", "data-export": kind, onclick: () => app.trying(() => download(kind, request())),
  }, text);
  const command = el("button", { type: "button", "data-export": "command", onclick: () => app.trying(async () => {
    const now = request();
    const { commands } = await post("api/export/command", now);
    const note = now.pictures?.length ? "With the exported pictures.zip in the working folder:" : "";
    place.replaceChildren(note, ...commands.map((text) => el("code", {}, text)));
    await navigator.clipboard?.writeText(commands.join("\n")).catch(() => {});
  }) }, "command line");
  return el("div", { className: "exports" },
    el("div", { className: "bar" }, "Export:", ...Object.entries(kinds).map(button), command), place);
}
