// Requests to the server. Every failure becomes an Error with one sentence.

async function checked(response) {
  if (response.ok) return response;
  let message = `${response.status} ${response.statusText}`;
  try { message = (await response.json()).error || message; } catch { /* no JSON: the status has to do */ }
  throw new Error(message);
}

async function send(path, options) {
  try {
    return await checked(await fetch(path, options));
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new Error(options?.body instanceof File ? "it could not be read, or the explorer does not answer"
      : "The explorer does not answer; is genae explore still running?");
  }
}

const headers = { "X-Genae": "1" };

export const get = async (path) => (await send(path)).json();

export const post = async (path, body) =>
  (await send(path, { method: "POST", headers: { ...headers, "Content-Type": "application/json" }, body: JSON.stringify(body) })).json();

export const answer = (operation, pictures, settings) => post("api/answer", { operation, pictures, settings });

export async function upload(blob) {
  return (await (await send("api/pictures", { method: "POST", headers, body: blob })).json()).picture;
}

/** The picture of an image of the run's data. */
export const dataAddress = (number) => `api/data/${number}.png`;

export const address = (name) => `api/pictures/${name}.png`;

/** Ask for a file and offer it for saving. */
export async function download(kind, request) {
  const response = await send(`api/export/${kind}`, { method: "POST", headers, body: JSON.stringify(request) });
  const name = /filename="(.+)"/.exec(response.headers.get("Content-Disposition"))[1];
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await response.blob());
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
