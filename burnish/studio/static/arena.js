// The arena: one person chats with two hidden models side by side, and votes after any turn. Answers come as events;
// whatever breaks off leaves a turn for which answers can be asked for again. Votes go through the outbox.

import { call, stream } from "./api.js";
import { announce, el } from "./dom.js";
import { listen } from "./keys.js";
import * as outbox from "./outbox.js";

const desk = document.getElementById("desk");
const { slug } = desk.dataset;
const place = document.getElementById("work");
const kept = `burnish.arena.${document.body.dataset.person}.${slug}`;
const VERDICTS = {
  left: { key: "←", better: "left", both_bad: false, words: "Left is better" },
  right: { key: "→", better: "right", both_bad: false, words: "Right is better" },
  tie: { key: "0", better: null, both_bad: false, words: "A tie" },
  bad: { key: "b", better: null, both_bad: true, words: "Both are bad" },
};
let talk = null;
let busy = false;
let since = 0;
const box = el("textarea", { class: "writing", rows: 3, dir: "auto", name: "text" });
const asked = el("label", {}, "", box);
const problem = el("p", { class: "problem", role: "alert" });
const log = el("div"); // drawn anew as things happen; the field below it stays, with its focus

function side(name, text) {
  const model = talk.models?.[name];
  return el("article", { class: "card answer" },
    el("h2", {}, name === "left" ? "Left" : "Right", model ? el("bdi", { class: "part" }, ` ${model}`) : null),
    el("div", { class: "text", dir: "auto", lang: talk.language, "data-side": name }, text ?? ""));
}

function turn(one) {
  return el("section", { class: "turn", "aria-label": "Turn" },
    el("div", { class: "prompt" }, el("div", { class: "text", dir: "auto", lang: talk.language }, one.text)),
    el("div", { class: "answers" }, side("left", one.left), side("right", one.right)),
    one.voted ? el("p", { class: "hint" }, "Voted.") : null);
}

const last = () => talk.turns[talk.turns.length - 1];
const isOpen = (one) => one && (one.left === null || one.right === null);
const button = (words, click, isMain) => el("button", { type: "button", class: isMain ? "main" : null, click }, words);

function draw() {
  const one = last();
  const canVote = one && !isOpen(one) && !one.voted && !busy;
  log.replaceChildren(
    ...talk.turns.map(turn),
    canVote ? el("div", { class: "row", id: "votes", role: "group", tabindex: -1, "aria-label": "Which is better?" },
      ...Object.entries(VERDICTS).map(([name, { key, words }]) => button([el("kbd", { "aria-hidden": "true" }, key), ` ${words}`], () => vote(name)))) : "",
    isOpen(one) && !busy ? button("Ask for the answers again", () => hear("answer", {}), true) : "");
  asked.firstChild.data = `Say something to both (${talk.language})`;
  if (!place.contains(box)) place.replaceChildren(log, asked, el("div", { class: "send row" }, problem, button("Send", say, true), button("New conversation", begin)));
  place.dataset.conversation = talk.conversation;
  place.setAttribute("aria-busy", String(busy));
}

async function begin() {
  if (busy) return;
  try {
    const wanted = document.getElementById("language")?.value || desk.dataset.language;
    talk = await call("POST", `/api/projects/${slug}/arena`, { language: wanted });
    localStorage.setItem(kept, talk.conversation);
    draw();
    box.focus();
  } catch (error) {
    place.replaceChildren(el("p", { class: "rest", id: "rest" }, error.message));
  }
}

async function resume() {
  const number = localStorage.getItem(kept);
  if (!number) return begin();
  try {
    talk = await call("GET", `/api/arena/${encodeURIComponent(number)}`);
    draw();
  } catch {
    begin();
  }
}

function say() {
  if (busy) return;
  problem.textContent = box.value.trim() ? isOpen(last()) ? "Ask for the answers to the turn before first." : "" : "Write something.";
  if (!problem.textContent) hear("say", { text: box.value });
}

async function hear(what, body) {
  const own = talk.conversation;
  busy = true;
  problem.textContent = "";
  if (what === "say") talk.turns.push({ turn: null, text: body.text, left: null, right: null, voted: false });
  draw();
  try {
    await stream(`/api/arena/${own}/${what}`, body, (event, data) => {
      if (event === "turn") box.value = "";
      if (event === "text") for (const name of ["left", "right"]) [...place.querySelectorAll(`[data-side=${name}]`)].at(-1).append(data[name] ?? "");
      if (event === "done") talk = { ...talk, ...data };
      if (event === "error") problem.textContent = data.message;
    });
    since = performance.now();
    announce("Both have answered.");
  } catch (error) {
    problem.textContent = `The answers broke off: ${error.message}`;
  }
  talk = await call("GET", `/api/arena/${own}`).catch(() => talk);
  busy = false;
  draw();
  (document.getElementById("votes") ?? box).focus(); // so that keys vote at once, and Enter votes for nothing
}

function vote(name) {
  const one = last();
  if (!talk || busy || !one || one.voted || isOpen(one)) return;
  const { better, both_bad, words } = VERDICTS[name];
  const seconds = Math.round(performance.now() - since) / 1000;
  one.voted = true;
  outbox.put(slug, { turn: one.turn, better, both_bad, guideline_version: talk.guideline.version, seconds }, "/api/arena/votes");
  announce(`${words}.`);
  draw();
}

async function reveal() {
  if (busy || !talk) return;
  const found = await call("GET", `/api/arena/${talk.conversation}`).catch(() => null);
  if (found && !busy) {
    talk = found;
    draw();
  }
}

const ACTIONS = {
  left: () => vote("left"),
  right: () => vote("right"),
  tie: () => vote("tie"),
  bad: () => vote("bad"),
  write: () => box.focus(),
  send: say,
};

listen((action) => {
  ACTIONS[action]?.();
  return Boolean(ACTIONS[action]);
});
outbox.onChange(({ sent }) => sent && reveal());
resume();
