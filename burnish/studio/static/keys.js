// Keys of the work page: those that the page shows, and no others (`pages_shortcuts.py`).

const NATIVE = "button, a, select, summary, textarea, input:not([type=radio]):not([type=checkbox])";
const TYPING = "textarea, select, input:not([type=radio]):not([type=checkbox])";

export function nameOf(event) {
  const digit = /^Digit([1-9])$/.exec(event.code);
  const key = digit && !event.shiftKey ? digit[1] : event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const isCommand = event.ctrlKey || event.metaKey;
  return `${isCommand ? "Control+" : ""}${event.shiftKey && key.length > 1 ? "Shift+" : ""}${key}`;
}

// Calls `run(action, digit)`, which says whether there was something to do. What all kinds of work have is done here.
export function listen(run) {
  if (matchMedia("(max-width: 60rem)").matches) for (const one of document.querySelectorAll(".beside details")) one.open = false;
  const shown = [...document.querySelectorAll("#shortcuts [data-key]")].map((item) => item.dataset);
  addEventListener("keydown", (event) => {
    if (event.altKey || event.isComposing || document.querySelector("dialog[open]")) return;
    const key = nameOf(event);
    const found = shown.find((one) => one.key === key) ?? (/^[1-9]$/.test(key) ? shown.find((one) => one.key === "digit") : undefined);
    if (!found || isForTheField(event, found, key)) return;
    if (general(found.action) || run(found.action, Number(key))) event.preventDefault();
  });
}

function general(action) {
  if (action === "keys") showKeys();
  else if (action === "leave") document.activeElement?.blur();
  else if (action === "guidelines") document.getElementById("guidelines").toggleAttribute("open");
  else return false;
  return true;
}

function showKeys() {
  const dialog = document.getElementById("keys");
  dialog.querySelector("ul").replaceChildren(...[...document.querySelectorAll("#shortcuts li")].map((item) => item.cloneNode(true)));
  dialog.showModal();
}

function isForTheField(event, found, key) {
  if (found.whileTyping !== undefined) return false;
  const { target } = event;
  if (!(target instanceof Element)) return false;
  if (target.closest(TYPING)) return true;
  if (key === "Enter" && target.closest(NATIVE)) return true;
  if (key.startsWith("Arrow") && target.matches("input[type=radio]")) return true;
  return key.length === 1 && localStorage.getItem("burnish.single-keys") === "off";
}
