// A reviewer's decision: the same editor as on the work page, answers in the item's own order.

import { call } from "./api.js";
import { announce, el, field } from "./dom.js";
import { editorOf } from "./editors.js";

for (const box of document.querySelectorAll("[data-dispute]")) {
  const task = JSON.parse(box.dataset.dispute);
  const editor = editorOf(task, { announce });
  const reason = el("textarea", { rows: 2, maxlength: 4000, dir: "auto" });
  const problem = el("p", { class: "problem", role: "alert" });
  const decide = el("button", { type: "button", class: "main", click: async () => {
    problem.textContent = editor.problem();
    if (problem.textContent) return;
    decide.disabled = true;
    try {
      await call("POST", `/api/items/${task.item}/adjudicate`, { content: editor.content(), reason: reason.value });
      box.closest("article").replaceChildren(el("p", { class: "rest" }, "Decided."));
      announce("Decided.");
    } catch (error) {
      problem.textContent = `Not done: ${error.message}`;
      decide.disabled = false;
    }
  } }, "Decide");
  rename(editor.node, task.item);
  box.replaceChildren(editor.node, field("Why, for the record", reason), problem, decide);
}

// Several editors stand on one page: radio buttons of one name would belong together.
function rename(node, item) {
  for (const input of node.querySelectorAll("input[name]")) input.name += `-${item}`;
}
