// Two answers side by side, and one scale from "1 is much better" over a tie to "2 is much better".

import { el, messages } from "./dom.js";

const NAMES = { 1: [""], 2: ["slightly", "clearly"], 3: ["slightly", "clearly", "much"] };

export function compare(task, { announce }) {
  const { strengths, ties } = task.options;
  const names = NAMES[strengths] ?? Array.from({ length: strengths }, (_, index) => String(index + 1));
  const steps = [
    ...names.map((name, index) => ({ better: 0, strength: index + 1, name })).reverse(),
    ...(ties ? [{ better: null, strength: null, name: "tie" }] : []),
    ...names.map((name, index) => ({ better: 1, strength: index + 1, name })),
  ];
  const inputs = steps.map((step, index) => el("input", { type: "radio", name: "better", value: index, "aria-label": words(step) }));
  const at = () => inputs.findIndex((input) => input.checked);
  const go = (index) => {
    if (index < 0 || index >= steps.length) return;
    inputs[index].checked = true;
    show();
    announce(`${words(steps[index])}.`);
  };
  const side = (better) => {
    const now = steps[at()];
    const strength = now?.better === better ? Math.min(now.strength + 1, strengths) : 1;
    go(steps.findIndex((step) => step.better === better && step.strength === strength));
  };
  const step = (by) => {
    const middle = (steps.length - 1) / 2;
    go(at() < 0 ? (by < 0 ? Math.ceil(middle) - 1 : Math.floor(middle) + 1) : at() + by);
  };
  const cards = task.answers.map((answer, place) => el("article", { class: "card answer" }, el("h2", {}, `Answer ${place + 1}`), ...messages(answer, task.language)));
  const show = () => cards.forEach((card, place) => card.classList.toggle("chosen", steps[at()]?.better === place));
  const node = el("section", { class: "judge" },
    el("div", { class: "answers" }, ...cards),
    el("fieldset", { class: "scale" }, el("legend", {}, "Which answer is better?"),
      el("div", { class: "steps" }, ...steps.map((one, index) => el("label", { class: `step side-${one.better ?? "tie"}` }, inputs[index],
        el("span", {}, el("b", {}, one.better === null ? "=" : one.better + 1), el("span", { class: "how" }, one.name)))))));
  node.addEventListener("change", show);
  return {
    node,
    actions: { first: () => side(0), second: () => side(1), tie: () => go(steps.findIndex((one) => one.better === null)), left: () => step(-1), right: () => step(1) },
    problem: () => (at() < 0 ? `Say which is better${ties ? ", or that it is a tie" : ""}.` : ""),
    content: () => {
      const { better, strength } = steps[at()];
      return better === null || strengths === 1 ? { better } : { better, strength };
    },
    preset: ({ better, strength }) => go(steps.findIndex((one) => one.better === (better ?? null) && (one.better === null || one.strength === (strength ?? 1)))),
  };
}

function words({ better, name }) {
  return better === null ? "a tie" : `answer ${better + 1} is ${name ? `${name} ` : ""}better`;
}
