// The work page: fetch, show, judge, keep, show the next at once. The next item is fetched while this one is judged;
// both are leased, and leases are renewed while somebody is at work.

import { call, parting, Refusal } from "./api.js";
import { announce, el, messages } from "./dom.js";
import * as drafts from "./drafts.js";
import { editorOf } from "./editors.js";
import { listen } from "./keys.js";
import * as outbox from "./outbox.js";

const RETRY_MS = 3000;
const WAIT_MS = 15_000;
const TICK_MS = 1000;
const WHY = {
  done: "All done: nothing is left for you here. Thank you.",
  wait: "Others hold what is left. This page looks again by itself.",
  quota: "As many as were asked for are under way. Thank you.",
  closed: "This project is closed.",
  language: "This project has no work in your languages.",
};
const desk = document.getElementById("desk");
const slug = desk?.dataset.slug;
const place = document.getElementById("work");
const kept = document.getElementById("kept");
const language = document.getElementById("language");
let current = null;
let ahead = null;
let editor = null;
let since = 0;
let active = Date.now();
let timer = null;
let asking = 0;

const besides = () => [...outbox.itemsOf(slug), ...(current ? [current.item] : [])].slice(-100);

async function next() {
  const body = { besides: besides() };
  if (language?.value) body.language = language.value;
  return call("POST", `/api/projects/${slug}/next`, body);
}

// Ask for the first item, or for one after the queue was empty.
async function ask() {
  const mine = ++asking;
  clearTimeout(timer);
  try {
    const { task, why } = await next();
    if (mine !== asking || current) return;
    if (task) return show(task);
    rest(WHY[why]);
    if (why === "wait") timer = setTimeout(ask, WAIT_MS);
  } catch (error) {
    if (mine !== asking || current) return;
    if (error instanceof Refusal && error.status < 500 && error.status !== 429) return rest(`${error.message}.`);
    rest("The studio does not answer. Your work is kept; this page tries again by itself.");
    timer = setTimeout(ask, RETRY_MS);
  }
}

async function fetchAhead() {
  const of = current;
  try {
    const { task } = await next();
    if (task && of === current && task.item !== current.item) ahead = task; // else it is held, and comes with `ask`
  } catch { /* the next item is asked for again when it is wanted */ }
}

function rest(words, ...more) {
  current = editor = null;
  place.setAttribute("aria-busy", "false");
  place.replaceChildren(el("p", { class: "rest", id: "rest" }, words, ...more));
  drafts.showOthers(kept, slug, null);
  announce(words);
}

function show(task) {
  current = task;
  ahead = null;
  since = performance.now();
  editor = editorOf(task, { announce });
  const before = task.content ?? drafts.of(task.item);
  if (before) editor.preset(before);
  const comment = el("textarea", { name: "comment", rows: 2, maxlength: 4000, dir: "auto" });
  comment.value = task.content?.comment ?? "";
  editor.comment = comment;
  const problem = el("p", { class: "problem", id: "problem", role: "alert" });
  place.replaceChildren(
    task.prompt.length
      ? el("section", { class: "prompt", "aria-label": "Prompt" }, el("h2", {}, "Prompt"), ...messages(task.prompt, task.language))
      : el("section", { class: "prompt" }, el("h2", {}, `A new prompt in ${task.language}`)),
    editor.node,
    el("details", { class: "more" }, el("summary", {}, "Comment"), comment),
    el("div", { class: "send row" }, problem,
      el("button", { type: "button", class: "main", id: "send", click: send }, task.supersedes ? "Send the correction" : "Send"),
      task.supersedes ? null : el("button", { type: "button", click: () => aside("skip") }, "Skip"),
      task.supersedes ? null : el("button", { type: "button", click: () => aside("flag") }, "Flag")));
  showGuideline(task.guideline);
  drafts.showOthers(kept, slug, task.item);
  place.setAttribute("aria-busy", "false");
  place.dataset.item = task.item;
  scrollTo({ top: 0 });
  announce("An item to judge.");
  editor.begin?.();
  if (!task.supersedes) fetchAhead();
}

function showGuideline({ version, text }) {
  document.getElementById("guideline-version").textContent = version;
  document.getElementById("guideline-text").textContent = text || "This project has none.";
}

function send() {
  if (!editor) return;
  const problem = editor.problem();
  document.getElementById("problem").textContent = problem;
  if (problem) return;
  const content = editor.content();
  if (editor.comment.value.trim()) content.comment = editor.comment.value;
  const body = {
    item: current.item,
    content,
    guideline_version: current.guideline.version,
    seconds: Math.round(performance.now() - since) / 1000,
  };
  if (current.supersedes) body.supersedes = current.supersedes;
  outbox.put(slug, body);
  if (current.supersedes) return rest("Your correction is on its way. ", el("a", { href: `/projects/${slug}/mine` }, "Back to my work"));
  drafts.drop(current.item);
  advance();
}

function advance() {
  current = null;
  if (ahead) return show(ahead);
  place.setAttribute("aria-busy", "true");
  return ask();
}

async function aside(what) {
  const dialog = document.getElementById("aside");
  const form = dialog.querySelector("form");
  document.getElementById("aside-title").textContent = what === "skip" ? "Skip this item for good" : "Flag a problem";
  document.getElementById("aside-comment").hidden = what === "skip";
  form.reset();
  dialog.returnValue = "";
  dialog.showModal();
  await new Promise((closed) => dialog.addEventListener("close", closed, { once: true }));
  if (dialog.returnValue !== "do" || !current) return;
  const reason = form.elements.reason.value;
  const body = what === "skip" ? { reason } : { reason, comment: form.elements.comment.value };
  try {
    await call("POST", `/api/items/${current.item}/${what}`, body);
    announce(what === "skip" ? "Skipped." : "Flagged.");
    if (what === "skip") {
      drafts.drop(current.item);
      advance();
    }
  } catch (error) {
    document.getElementById("problem").textContent = `Not done: ${error.message}`;
  }
}

function keepDraft() {
  if (editor?.draft && !current.supersedes) drafts.keep(slug, current, editor);
}

// A lease is renewed after a third of its time, unless nobody touched the page for as long as it lasts.
function renew() {
  if (!current || current.supersedes || Date.now() - active > current.lease.seconds * 1000) return;
  for (const task of [current, ahead]) {
    if (!task || Date.now() < (task.renewed ??= Date.now()) + task.lease.seconds * 1000 / 3) continue;
    task.renewed = Date.now();
    call("POST", `/api/items/${task.item}/renew`, {}).catch((error) => {
      if (!(error instanceof Refusal) || error.status !== 409) return;
      if (task === ahead) ahead = null;
      else document.getElementById("problem").textContent = `${error.message}. What you send is kept all the same.`;
    });
  }
}

function comment() {
  editor.comment.closest("details").open = true;
  editor.comment.focus();
}

function run(action, digit) {
  if (!editor) return false;
  if (action === "send") return send(), true;
  if (action === "comment") return (editor.actions.comment ?? comment)(), true;
  if (action === "skip" || action === "flag") return current.supersedes ? false : (aside(action), true);
  const act = editor.actions[action];
  if (act) act(digit);
  return Boolean(act);
}

function begin() {
  listen(run);
  for (const event of ["keydown", "input", "pointerdown", "scroll"]) addEventListener(event, () => { active = Date.now(); }, { passive: true });
  place.addEventListener("input", keepDraft);
  outbox.onChange(({ sent }) => sent && !current && !desk.dataset.task && ask());
  language?.addEventListener("change", () => {
    for (const task of [current, ahead]) if (task) parting(`/api/items/${task.item}/release`);
    current = ahead = null;
    setTimeout(ask, 300);
  });
  addEventListener("pagehide", () => ahead && parting(`/api/items/${ahead.item}/release`));
  setInterval(renew, TICK_MS);
  if (desk.dataset.task) show(JSON.parse(desk.dataset.task));
  else ask();
}

if (desk) begin();
