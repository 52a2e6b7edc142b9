// What somebody is writing, kept in this browser until it is sent: one entry for each person and item. A text whose
// item is not at hand any more, because its time ran out, is shown beside the work until it is sent or thrown away.

import { el } from "./dom.js";
import * as outbox from "./outbox.js";

const prefix = `burnish.draft.${document.body.dataset.person}.`;

function read(key) {
  try {
    return JSON.parse(localStorage.getItem(key));
  } catch {
    return null;
  }
}

export function keep(slug, task, editor) {
  const entry = {
    slug,
    item: task.item,
    language: task.language,
    draft: editor.draft(),
    content: editor.problem() ? null : editor.content(),
    guideline_version: task.guideline.version,
  };
  try {
    localStorage.setItem(prefix + task.item, JSON.stringify(entry));
  } catch { /* no room: the text is still on the page */ }
}

export function of(item) {
  return read(prefix + item)?.draft ?? null;
}

export function drop(item) {
  localStorage.removeItem(prefix + item);
}

// Shows in `place` the texts of a project that were written for other items than the one at hand.
export function showOthers(place, slug, item) {
  const entries = Object.keys(localStorage).filter((key) => key.startsWith(prefix)).map(read);
  const found = entries.filter((entry) => entry?.slug === slug && entry.item !== item && entry.content?.text);
  place.hidden = found.length === 0;
  place.replaceChildren(...found.map((entry) => kept(entry, () => {
    drop(entry.item);
    showOthers(place, slug, item);
  })));
}

function kept({ slug, item, language, content, guideline_version }, done) {
  const button = (words, click) => el("button", { type: "button", click }, words);
  return el("article", { class: "card" },
    el("h2", {}, "Not sent yet"),
    el("p", { class: "hint" }, "You wrote this for an item that is not yours any more. It is kept in this browser."),
    el("div", { class: "text", dir: "auto", lang: language }, content.text),
    el("div", { class: "row" },
      button("Send it all the same", () => {
        outbox.put(slug, { item, content, guideline_version, seconds: 0 });
        done();
      }),
      button("Throw it away", done)));
}
