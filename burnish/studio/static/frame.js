// What every page does: shows what waits to be sent, signs out, sends the forms that name a route.

import { call } from "./api.js";
import { el } from "./dom.js";
import { start } from "./forms.js";
import * as outbox from "./outbox.js";

const status = document.getElementById("outbox");
const refused = document.getElementById("refused");

function words(count) {
  if (!outbox.isKept()) return `This browser keeps nothing: leave the page open. ${count} waiting to be sent.`;
  const why = { offline: " The studio does not answer; they are kept here.", "signed-out": " Sign in again to send them; they are kept here." };
  return `${count} waiting to be sent.${why[outbox.standing()] ?? ""}`;
}

function show() {
  const count = outbox.waiting().length;
  status.hidden = count === 0;
  status.dataset.state = outbox.standing();
  const said = count ? words(count) : "";
  if (status.textContent !== said) status.textContent = said;
  const lost = outbox.refused();
  refused.hidden = lost.length === 0;
  refused.replaceChildren(...lost.map((entry) => el("div", {},
    el("p", { dir: "auto" }, `The studio could not take your work on ${entry.body.item ? `item ${entry.body.item}` : `turn ${entry.body.turn}`}: ${entry.refused}`),
    el("details", {}, el("summary", {}, "What it was"), el("pre", { dir: "auto" }, JSON.stringify(entry.body.content ?? entry.body, null, 1))),
    el("button", { type: "button", click: () => outbox.putAway(entry.body.client_id) }, "Put it away"))));
}

async function logOut() {
  const count = outbox.waiting().length;
  if (count && !confirm(`${count} waiting to be sent. They stay in this browser until you sign in again. Sign out?`)) return;
  await call("POST", "/api/logout", {}).catch(() => {});
  location.assign("/");
}

if (status) {
  outbox.onChange(show);
  document.getElementById("log-out").addEventListener("click", logOut);
}
start();
const single = document.getElementById("single-keys");
if (single) {
  single.checked = localStorage.getItem("burnish.single-keys") !== "off";
  single.addEventListener("change", () => localStorage.setItem("burnish.single-keys", single.checked ? "on" : "off"));
}
