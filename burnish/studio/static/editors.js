// What each kind of work looks like. An editor has
//   node       what is shown
//   actions    what keys do, by the names of `pages_shortcuts.py`
//   problem()  what is missing, "" if nothing
//   content()  the judgement, answers by their place on the screen
//   preset()   fills in a content
//   draft()    what to keep while somebody writes; only editors with text have it

import { compare } from "./compare.js";
import { el, field, messages } from "./dom.js";
import { rank } from "./rank.js";
import { rate } from "./rate.js";
import { spans } from "./spans.js";

const WRITE = {
  demonstrate: "Write the answer",
  reformulate: "Write the prompt in other words",
  create: "Write a new prompt",
};

export function editorOf(task, page) {
  const of = { compare, rank, rate, spans, thumbs, evaluate };
  return (of[task.kind] ?? write)(task, page);
}

function write(task) {
  const box = el("textarea", { class: "writing", rows: 8, dir: "auto", lang: task.language, maxlength: task.options.longest });
  return {
    node: el("section", { class: "judge" }, field(`${WRITE[task.kind]} (${task.language})`, box)),
    actions: { write: () => box.focus() },
    problem: () => (box.value.trim() ? "" : "Write something, or skip the item."),
    content: () => ({ text: box.value }),
    preset: ({ text }) => { box.value = text ?? ""; },
    draft: () => ({ text: box.value }),
  };
}

function choice(name, value, words, key) {
  const input = el("input", { type: "radio", name, value });
  const label = el("label", { class: "choice" }, input, el("span", {}, key ? el("kbd", {}, key) : null, ` ${words}`));
  return { input, label };
}

function thumbs(task, { announce }) {
  const good = choice("good", "true", "Good", "1");
  const bad = choice("good", "false", "Not good", "2");
  const set = (one, words) => {
    one.input.checked = true;
    announce(words);
  };
  return {
    node: el("section", { class: "judge" },
      el("article", { class: "card answer" }, el("h2", {}, "Answer"), ...messages(task.answers[0], task.language)),
      el("fieldset", { class: "choices" }, el("legend", {}, "How is it?"), good.label, bad.label)),
    actions: { good: () => set(good, "Good."), bad: () => set(bad, "Not good.") },
    problem: () => (good.input.checked || bad.input.checked ? "" : "Say whether it is good."),
    content: () => ({ good: good.input.checked }),
    preset: (content) => { (content.good ? good : bad).input.checked = true; },
  };
}

function evaluate(task, { announce }) {
  const verdicts = {
    accept: choice("verdict", "accept", "Accept", "a"),
    edit: choice("verdict", "edit", "Accept with edits", "e"),
    reject: choice("verdict", "reject", "Reject", "r"),
  };
  const reasons = task.options.reasons.map((reason, index) => {
    const input = el("input", { type: "checkbox", value: reason });
    return { input, label: el("label", { class: "choice" }, input, el("span", {}, index < 9 ? el("kbd", {}, index + 1) : null, el("bdi", {}, ` ${reason}`))) };
  });
  const box = el("textarea", { class: "writing", rows: 5, dir: "auto", lang: task.language, maxlength: task.options.longest });
  box.value = task.prompt.length ? task.prompt[task.prompt.length - 1].content : "";
  const text = field("The prompt as it should be", box);
  text.hidden = true;
  const chosen = () => Object.keys(verdicts).find((name) => verdicts[name].input.checked);
  const set = (name) => {
    verdicts[name].input.checked = true;
    text.hidden = name !== "edit";
    announce(`${name}.`);
    if (name === "edit") box.focus();
  };
  const node = el("section", { class: "judge" },
    el("fieldset", { class: "choices" }, el("legend", {}, "Your verdict on the prompt"), ...Object.values(verdicts).map((one) => one.label)),
    text,
    el("fieldset", { class: "choices" }, el("legend", {}, "Reasons"), ...reasons.map((one) => one.label)));
  node.addEventListener("change", () => { text.hidden = chosen() !== "edit"; });
  return {
    node,
    actions: {
      accept: () => set("accept"),
      edit: () => set("edit"),
      reject: () => set("reject"),
      reason: (digit) => {
        const input = reasons[digit - 1]?.input;
        if (input) input.checked = !input.checked;
      },
    },
    problem: () => {
      if (!chosen()) return "Accept, edit or reject.";
      return chosen() === "edit" && !box.value.trim() ? "Write the prompt as it should be." : "";
    },
    content: () => ({
      verdict: chosen(),
      reasons: reasons.filter((one) => one.input.checked).map((one) => one.input.value),
      ...(chosen() === "edit" ? { text: box.value } : {}),
    }),
    preset: (content) => {
      if (content.verdict) verdicts[content.verdict].input.checked = true;
      if (content.text) box.value = content.text;
      text.hidden = content.verdict !== "edit";
      for (const one of reasons) one.input.checked = (content.reasons ?? []).includes(one.input.value);
    },
    draft: () => ({ verdict: chosen(), text: box.value, reasons: reasons.filter((one) => one.input.checked).map((one) => one.input.value) }),
  };
}
