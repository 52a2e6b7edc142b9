// Parts of answers with a label and a comment. A part is chosen with the mouse or a finger, or word by word with keys.
// The studio counts in code points; strings of JavaScript count in UTF-16, so offsets are converted.

import { el, last } from "./dom.js";

const points = (text) => Array.from(text).length;

export function words(text, language) {
  let segmenter;
  try {
    segmenter = new Intl.Segmenter(language, { granularity: "word" });
  } catch {
    segmenter = new Intl.Segmenter(undefined, { granularity: "word" });
  }
  return [...segmenter.segment(text)].map(({ segment, index, isWordLike }) => ({ start: index, end: index + segment.length, isWordLike }));
}

export function spans(task, { announce }) {
  const { labels } = task.options;
  const texts = task.answers.map(last);
  const segments = texts.map((text) => words(text, task.language));
  const marks = [];
  let answer = 0;
  let from = -1; // the words chosen by keys, as places in `segments[answer]`
  let to = -1;
  let chosen = null; // { answer, start, end } in UTF-16
  const boxes = texts.map((_, place) => el("div", { class: "text marked", dir: "auto", lang: task.language, tabindex: 0, "data-answer": place, "aria-label": `Answer ${place + 1}` }));
  const list = el("ul", { class: "marks" });
  const now = el("p", { class: "hint", "aria-live": "polite" });

  function draw(place) {
    const cuts = new Set([0, texts[place].length]);
    const here = [...marks.filter((mark) => mark.answer === place), ...(chosen?.answer === place ? [{ ...chosen, isChosen: true }] : [])];
    for (const one of here) cuts.add(one.start).add(one.end);
    const edges = [...cuts].sort((a, b) => a - b);
    boxes[place].replaceChildren(...edges.slice(0, -1).map((start, index) => {
      const text = texts[place].slice(start, edges[index + 1]);
      const over = here.filter((one) => one.start <= start && start < one.end);
      const label = over.find((one) => !one.isChosen);
      if (!over.length) return document.createTextNode(text);
      const kind = label ? ` label-${labels.indexOf(label.label) % 6}` : "";
      return el("mark", { class: `part${kind}${over.some((one) => one.isChosen) ? " now" : ""}`, title: label?.label }, text);
    }));
  }

  function choose(one) {
    chosen = one;
    boxes.forEach((_, place) => draw(place));
    now.replaceChildren(one ? el("bdi", {}, `“${texts[one.answer].slice(one.start, one.end)}”`) : "Nothing is chosen.");
  }

  function byKeys() {
    const [start, end] = [segments[answer][Math.min(from, to)].start, segments[answer][Math.max(from, to)].end];
    choose({ answer, start, end });
  }

  // Keys go by what is seen: in a text from right to left the next word stands on the left.
  function aside(by, isLonger) {
    walk(getComputedStyle(boxes[answer]).direction === "rtl" ? -by : by, isLonger);
  }

  function walk(by, isLonger) {
    let index = (isLonger ? to : Math.max(from, to)) + by;
    if (!isLonger && by < 0) index = Math.min(from, to) + by;
    while (segments[answer][index] && !segments[answer][index].isWordLike) index += by;
    if (!segments[answer][index]) return;
    to = index;
    if (!isLonger || from < 0) from = index;
    byKeys();
  }

  function byPointer(box, place) {
    const selection = getSelection();
    if (!selection.rangeCount || selection.isCollapsed) return;
    const range = selection.getRangeAt(0);
    if (!box.contains(range.startContainer) || !box.contains(range.endContainer)) return;
    const before = document.createRange();
    before.selectNodeContents(box);
    before.setEnd(range.startContainer, range.startOffset);
    const start = before.toString().length;
    answer = place;
    from = to = -1;
    choose({ answer: place, start, end: start + range.toString().length });
    selection.removeAllRanges();
  }

  function mark(digit) {
    const label = labels[digit - 1];
    if (!label) return;
    if (!chosen) return announce("Choose a part of an answer first.");
    marks.push({ ...chosen, label, comment: "" });
    announce(`Marked as ${label}.`);
    choose(null);
    show();
  }

  function unmark(index) {
    marks.splice(index, 1);
    choose(null);
    show();
  }

  function show() {
    list.replaceChildren(...marks.map((one, index) => {
      const comment = el("input", { dir: "auto", maxlength: 4000, "aria-label": "Comment on this part", placeholder: "Comment", input: (event) => { one.comment = event.target.value; } });
      comment.value = one.comment;
      return el("li", {}, el("mark", { class: `part label-${labels.indexOf(one.label) % 6}` }, el("bdi", {}, one.label)),
        el("bdi", { class: "quote" }, `“${texts[one.answer].slice(one.start, one.end)}”`), comment,
        el("button", { type: "button", class: "small", "aria-label": "Take this mark away", click: () => unmark(index) }, "×"));
    }));
  }

  boxes.forEach((box, place) => box.addEventListener("pointerup", () => setTimeout(() => byPointer(box, place))));
  choose(null);
  return {
    node: el("section", { class: "judge" },
      el("div", { class: "answers" }, ...boxes.map((box, place) => el("article", { class: "card answer" }, el("h2", {}, `Answer ${place + 1}`), box))),
      el("fieldset", { class: "choices" }, el("legend", {}, "Mark the chosen part as"), now,
        ...labels.map((label, index) => el("button", { type: "button", class: `label label-${index % 6}`, click: () => mark(index + 1) }, index < 9 ? el("kbd", {}, index + 1) : null, el("bdi", {}, ` ${label}`)))),
      list, el("p", { class: "hint" }, "No mark at all says that nothing stands out.")),
    actions: {
      left: () => aside(-1, false),
      right: () => aside(1, false),
      leftwards: () => aside(-1, true),
      rightwards: () => aside(1, true),
      answer: () => {
        answer = (answer + 1) % texts.length;
        from = to = -1;
        walk(1, false);
        boxes[answer].focus();
      },
      mark,
      comment: () => (marks.length ? list.lastElementChild.querySelector("input").focus() : announce("Mark a part first.")),
      unmark: () => marks.length && unmark(marks.length - 1),
    },
    problem: () => "",
    content: () => ({
      spans: marks.map(({ answer: place, start, end, label, comment }) => ({
        answer: place,
        start: points(texts[place].slice(0, start)),
        end: points(texts[place].slice(0, end)),
        label,
        ...(comment.trim() ? { comment } : {}),
      })),
    }),
    preset: ({ spans: given }) => {
      const units = (place, count) => Array.from(texts[place]).slice(0, count).join("").length;
      for (const one of given ?? []) marks.push({ ...one, comment: one.comment ?? "", start: units(one.answer, one.start), end: units(one.answer, one.end) });
      choose(null);
      show();
    },
  };
}
