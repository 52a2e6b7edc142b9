// A score on each scale for each answer.

import { el, messages } from "./dom.js";

export function rate(task, { announce }) {
  const { scales, highest } = task.options;
  const rows = [];
  const cards = task.answers.map((answer, place) => el("article", { class: "card answer" },
    el("h2", {}, `Answer ${place + 1}`), ...messages(answer, task.language),
    el("div", { class: "ratings" }, ...scales.map((scale) => row(scale, place)))));

  function row(scale, place) {
    const name = `score-${place}-${rows.length}`;
    const inputs = Array.from({ length: highest }, (_, index) => el("input", { type: "radio", name, value: index + 1, "aria-label": `${scale} ${index + 1} of ${highest}` }));
    const node = el("fieldset", { class: "rating", "data-rating": name }, el("legend", {}, el("bdi", {}, scale)),
      el("div", { class: "steps" }, ...inputs.map((input) => el("label", { class: "step" }, input, el("span", {}, el("b", {}, input.value))))));
    rows.push({ scale, place, inputs, node });
    return node;
  }

  const focused = () => rows.findIndex(({ node }) => node.contains(document.activeElement));
  const firstEmpty = () => rows.findIndex(({ inputs }) => !inputs.some((input) => input.checked));
  const focus = (index) => {
    const { inputs } = rows[Math.max(0, Math.min(rows.length - 1, index))];
    (inputs.find((input) => input.checked) ?? inputs[0]).focus();
  };
  const value = ({ inputs }) => Number(inputs.find((input) => input.checked)?.value ?? 0);
  const at = () => (focused() >= 0 ? focused() : Math.max(0, firstEmpty()));
  return {
    node: el("section", { class: "judge" }, el("p", { class: "hint" }, `1 is worst, ${highest} is best.`), el("div", { class: "answers" }, ...cards)),
    begin: () => focus(0),
    actions: {
      score: (digit) => {
        const index = at();
        if (digit > highest) return;
        rows[index].inputs[digit - 1].checked = true;
        announce(`Answer ${rows[index].place + 1}, ${rows[index].scale}: ${digit}.`);
        focus(index + 1);
      },
      previous: () => focus(at() - 1),
      next: () => focus(at() + 1),
    },
    problem: () => {
      const empty = rows[firstEmpty()];
      return empty ? `Answer ${empty.place + 1} has no score for “${empty.scale}”.` : "";
    },
    content: () => ({
      scores: task.answers.map((_, place) => Object.fromEntries(rows.filter((one) => one.place === place).map((one) => [one.scale, value(one)]))),
    }),
    preset: ({ scores }) => {
      for (const one of rows) {
        const score = scores[one.place]?.[one.scale];
        if (score) one.inputs[score - 1].checked = true;
      }
    },
  };
}
