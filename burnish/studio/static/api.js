// Requests to the studio. A refusal is thrown as `Refusal`; no answer at all is thrown as what `fetch` throws.

const TIMEOUT_MS = 20_000;
let token = document.body.dataset.token;
const person = document.body.dataset.person;

export class Refusal extends Error {
  constructor(status, code, words) {
    super(words);
    this.status = status;
    this.code = code;
  }
}

export async function call(method, path, body) {
  try {
    return await once(method, path, body);
  } catch (error) {
    if (!(error instanceof Refusal) || error.code !== "token" || !(await renewed())) throw error;
    return once(method, path, body);
  }
}

async function once(method, path, body, keepalive = false) {
  const isForm = body instanceof FormData;
  const headers = { "X-Burnish-Token": token };
  if (body !== undefined && !isForm) headers["Content-Type"] = "application/json";
  const response = await fetch(path, {
    method,
    headers,
    body: body === undefined || isForm ? body : JSON.stringify(body),
    cache: "no-store",
    keepalive,
    signal: isForm ? undefined : AbortSignal.timeout(TIMEOUT_MS),
  });
  const data = await response.json().catch(() => ({}));
  if (!response.ok) throw new Refusal(response.status, data.code ?? "", data.message ?? `the studio said ${response.status}`);
  return data;
}

// What is sent while a page goes away: nobody waits for the answer.
export function parting(path) {
  once("POST", path, {}, true).catch(() => {});
}

// The token of a session that began after this page; never that of another person.
async function renewed() {
  const me = await once("GET", "/api/me");
  if (String(me.person.id) !== person) return false;
  token = me.token;
  return true;
}

// Reads an answer of server-sent events to its end, and calls `heard(event, data)` for each.
export async function stream(path, body, heard) {
  const response = await fetch(path, {
    method: "POST",
    headers: { "X-Burnish-Token": token, "Content-Type": "application/json" },
    body: JSON.stringify(body),
    cache: "no-store",
  });
  if (!response.ok) {
    const data = await response.json().catch(() => ({}));
    throw new Refusal(response.status, data.code ?? "", data.message ?? `the studio said ${response.status}`);
  }
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    const events = (rest + part.value).split("\n\n");
    rest = events.pop();
    for (const text of events) {
      const fields = Object.fromEntries(text.split("\n").map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]));
      heard(fields.event, JSON.parse(fields.data));
    }
  }
}
