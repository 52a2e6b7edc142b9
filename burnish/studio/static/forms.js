// Forms that name a route: `data-api`, `data-method`, and what to do then (`data-then`: reload, said, link or home).
// A field says in `data-type` what it becomes: words, number, json, yes, quotas; else it is text. With
// `data-if-given` an empty field is left out.

import { call, Refusal } from "./api.js";
import { announce, el } from "./dom.js";

const READ = {
  text: (input) => input.value,
  words: (input) => input.value.split(/[\s,]+/).filter((word) => word),
  names: (input) => input.value.split(",").map((word) => word.trim()).filter((word) => word),
  number: (input) => Number(input.value),
  yes: (input) => input.checked,
  maybe: (input) => input.value || null,
  json: (input) => JSON.parse(input.value),
  quotas: (input) => Object.fromEntries(input.value.split(/[\s,]+/).filter((word) => word).map(quota)),
};

function quota(word) {
  const [language, count] = word.split("=");
  if (!language || !/^\d+$/.test(count ?? "")) throw new Error(`found "${word}"; expected a language and a number, such as is=1000`);
  return [language, Number(count)];
}

// Said before anything is sent: a server that refuses in the middle of an upload is not always heard.
function checkSize(form) {
  const most = Number(form.dataset.mostMb);
  for (const file of [...form.elements].flatMap((input) => [...(input.files ?? [])])) {
    if (file.size > most * 1e6 - 10_000) throw new Error(`${file.name} has ${(file.size / 1e6).toFixed(1)} MB; at most ${most} MB may be sent`);
  }
}

const THEN = {
  reload: () => location.reload(),
  home: () => location.assign("/"),
  said: (form) => say(form, "Saved."),
  link: (form, data) => say(form, data.link),
  import: (form, data) => say(form, `${data.items} items came in; ${data.known} were here already.`),
  project: (form, data) => location.assign(`/projects/${encodeURIComponent(data.slug)}/settings`),
};

function say(form, words, isWrong = false) {
  const answer = form.querySelector(".answer");
  answer.classList.toggle("wrong", isWrong);
  answer.replaceChildren(el("span", { dir: "auto" }, words));
}

export function bodyOf(form) {
  if (form.dataset.multipart !== undefined) {
    checkSize(form);
    return new FormData(form);
  }
  const inputs = [...form.elements].filter((input) => input.name);
  const given = inputs.filter((input) => !(input.dataset.ifGiven !== undefined && input.value === ""));
  const body = {};
  for (const input of given) {
    const [outer, inner] = input.name.split(".");
    const value = READ[input.dataset.type ?? "text"](input);
    if (inner) (body[outer] ??= {})[inner] = value;
    else body[outer] = value;
  }
  return body;
}

export async function send(form, path, body) {
  const button = form.querySelector("button:not([type=button])");
  button.disabled = true;
  try {
    return await call(form.dataset.method ?? "POST", path, body);
  } catch (error) {
    say(form, error instanceof Refusal ? error.message : "The studio did not answer; nothing was changed. Try again.", true);
    return null;
  } finally {
    button.disabled = false;
  }
}

async function submitted(event) {
  const form = event.currentTarget;
  event.preventDefault();
  if (form.dataset.sure && !confirm(form.dataset.sure)) return;
  let body;
  try {
    body = bodyOf(form);
  } catch (error) {
    say(form, error.message, true);
    return;
  }
  const data = await send(form, form.dataset.api, form.dataset.method === "DELETE" ? undefined : body);
  if (data === null) return;
  announce("Done.");
  THEN[form.dataset.then](form, data);
}

export function start() {
  for (const form of document.querySelectorAll("form[data-api]")) form.addEventListener("submit", submitted);
}
