// Answers in an order, best first: dragged by the handle, moved by keys or by buttons. One may be as good as the one
// above it.

import { el, messages } from "./dom.js";

export function rank(task, { announce }) {
  const list = el("ol", { class: "ranking", "aria-label": "Answers, the best first" });
  const rows = task.answers.map((answer, place) => row(answer, place));
  let dragged = null;
  let touched = false;

  function row(answer, place) {
    const node = el("li", { class: "card answer rank-row", tabindex: 0, "data-place": place });
    const handle = el("span", { class: "handle", "aria-hidden": "true", title: "Drag" }, "⠿");
    const at = el("span", { class: "at" });
    node.append(
      el("div", { class: "rank-head" }, handle, at, el("h2", {}, `Answer ${place + 1}`),
        button("↑", `Move answer ${place + 1} up`, () => move(node, -1)),
        button("↓", `Move answer ${place + 1} down`, () => move(node, 1)),
        button("=", `Answer ${place + 1} is as good as the one above, or not`, () => tie(node))),
      ...messages(answer, task.language));
    handle.addEventListener("pointerdown", (event) => {
      dragged = node;
      node.classList.add("dragged");
      list.setPointerCapture(event.pointerId); // the node itself loses it when it moves
      event.preventDefault();
    });
    return { node, at, place };
  }

  function button(sign, words, click) {
    return el("button", { type: "button", class: "small", "aria-label": words, title: words, click }, sign);
  }

  const nodes = () => [...list.children];
  const of = (node) => rows.find((one) => one.node === node);

  function drag(y) {
    const others = nodes().filter((node) => node !== dragged);
    const after = others.find((node) => y < node.getBoundingClientRect().top + node.getBoundingClientRect().height / 2);
    if ((after ?? null) === dragged.nextElementSibling) return;
    list.insertBefore(dragged, after ?? null);
    number();
  }

  function drop() {
    if (!dragged) return;
    dragged.classList.remove("dragged");
    say(dragged);
    dragged = null;
  }

  function move(node, by) {
    const all = nodes();
    const to = all.indexOf(node) + by;
    if (to < 0 || to >= all.length) return;
    list.insertBefore(node, by < 0 ? all[to] : all[to].nextElementSibling);
    say(node);
    node.focus();
  }

  function tie(node) {
    if (nodes()[0] === node) return;
    node.toggleAttribute("data-tied");
    say(node);
    node.focus();
  }

  function ranks() {
    const found = new Array(rows.length);
    let level = -1;
    nodes().forEach((node, index) => {
      if (index === 0 || node.dataset.tied === undefined) level += 1;
      found[of(node).place] = level;
    });
    return found;
  }

  function number() {
    touched = true;
    const found = ranks();
    for (const one of rows) one.at.textContent = `${found[one.place] + 1}.`;
  }

  function say(node) {
    number();
    announce(`Answer ${of(node).place + 1} is now number ${ranks()[of(node).place] + 1}.`);
  }

  const focused = () => nodes().find((node) => node.contains(document.activeElement)) ?? null;
  const walk = (by) => {
    const all = nodes();
    const index = focused() ? all.indexOf(focused()) + by : by > 0 ? 0 : all.length - 1;
    all[Math.max(0, Math.min(all.length - 1, index))].focus();
  };
  const withFocused = (act) => () => act(focused() ?? nodes()[0]);
  list.append(...rows.map((one) => one.node));
  list.addEventListener("pointermove", (event) => dragged && drag(event.clientY));
  for (const end of ["pointerup", "pointercancel"]) list.addEventListener(end, drop);
  number();
  touched = false;
  return {
    node: el("section", { class: "judge" }, el("p", { class: "hint" }, "Put the best answer first."), list,
      button("The order is right as it stands", "The order is right as it stands", () => { touched = true; announce("Taken as it stands."); })),
    actions: {
      previous: () => walk(-1),
      next: () => walk(1),
      up: withFocused((node) => move(node, -1)),
      down: withFocused((node) => move(node, 1)),
      tie: withFocused(tie),
    },
    problem: () => (touched ? "" : "Move an answer, or say that the order is right as it stands."),
    content: () => ({ ranks: ranks() }),
    preset: ({ ranks: given }) => {
      const order = [...rows].sort((a, b) => given[a.place] - given[b.place]);
      order.forEach((one, index) => {
        one.node.toggleAttribute("data-tied", index > 0 && given[one.place] === given[order[index - 1].place]);
        list.append(one.node);
      });
      number();
    },
  };
}
