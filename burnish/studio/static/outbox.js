// Judgements on their way. Each is kept in the browser before it is sent, under its client id, and taken out only when
// the studio has acknowledged it; sending one twice is harmless, as the studio knows client ids. One entry has one key
// of localStorage, so tabs do not overwrite each other's, and keys name the person, so nobody sends another's.

import { call, Refusal } from "./api.js";

const FIRST_MS = 1000;
const LONGEST_MS = 30_000;
const FOR_NOW = new Set(["token", "not-signed-in", "at-once", "origin"]);
const prefix = `burnish.outbox.${document.body.dataset.person}.`;
const unkept = new Map();
const listeners = new Set();
let delay = FIRST_MS;
let timer = null;
let busy = false;
let state = "";

export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function put(slug, body, path = "/api/judgements") {
  const entry = { slug, path, body: { client_id: newId(), ...body }, at: Date.now(), refused: null };
  write(entry);
  changed();
  flush();
  return entry.body.client_id;
}

export function waiting() {
  return entries().filter((entry) => entry.refused === null);
}

export function refused() {
  return entries().filter((entry) => entry.refused !== null);
}

export function itemsOf(slug) {
  return waiting().filter((entry) => entry.slug === slug).map((entry) => entry.body.item);
}

export function putAway(clientId) {
  forget(clientId);
  changed();
}

export function onChange(listener) {
  listeners.add(listener);
  listener({ sent: false });
}

export function isKept() {
  return unkept.size === 0;
}

// "" if the studio answers, "offline" if not, "signed-out" if it does not know us any more.
export function standing() {
  return state;
}

export async function flush() {
  if (busy) return;
  busy = true;
  clearTimeout(timer);
  try {
    for (const entry of waiting()) await send(entry);
    delay = FIRST_MS;
    state = "";
  } catch (error) {
    state = error instanceof Refusal && [401, 403].includes(error.status) ? "signed-out" : "offline";
    timer = setTimeout(flush, delay);
    delay = Math.min(2 * delay, LONGEST_MS);
  } finally {
    busy = false;
    changed();
  }
  if (state === "" && waiting().length) flush();
}

async function send(entry) {
  try {
    await call("POST", entry.path, entry.body);
    forget(entry.body.client_id);
    changed(true);
  } catch (error) {
    if (!isFinal(error)) throw error;
    write({ ...entry, refused: error.message });
    changed();
  }
}

// Whether sending it again cannot help.
function isFinal(error) {
  return error instanceof Refusal && [403, 404, 409, 413, 422].includes(error.status) && !FOR_NOW.has(error.code);
}

function entries() {
  const kept = Object.keys(localStorage).filter((key) => key.startsWith(prefix)).map((key) => localStorage.getItem(key));
  const read = kept.filter((text) => text !== null).map((text) => JSON.parse(text));
  return [...read, ...unkept.values()].sort((a, b) => a.at - b.at);
}

function write(entry) {
  const id = entry.body.client_id;
  try {
    localStorage.setItem(prefix + id, JSON.stringify(entry));
    unkept.delete(id);
  } catch {
    unkept.set(id, entry); // storage is full or forbidden: the page says so, and asks before it closes
  }
}

function forget(id) {
  localStorage.removeItem(prefix + id);
  unkept.delete(id);
}

function changed(sent = false) {
  for (const listener of listeners) listener({ sent });
}

function hurry() {
  delay = FIRST_MS;
  flush();
}

addEventListener("online", hurry);
addEventListener("storage", (event) => event.key?.startsWith(prefix) && changed());
addEventListener("visibilitychange", () => document.visibilityState === "visible" && hurry());
addEventListener("beforeunload", (event) => unkept.size && event.preventDefault());
if (document.body.dataset.person) flush();
