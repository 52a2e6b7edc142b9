// What the tests measure in a page, from the styles that the browser computed. `measures` is called by name.
(() => {
  const numbers = (colour) => {
    const found = colour.match(/[\d.]+/g).map(Number);
    if (!colour.startsWith("rgb")) throw new Error(`cannot read the colour ${colour}`);
    return [found[0], found[1], found[2], found[3] ?? 1];
  };
  const over = (front, back) => [0, 1, 2].map((i) => front[i] * front[3] + back[i] * (1 - front[3])).concat(1);
  const style = (node) => getComputedStyle(node);
  const parents = function* (node) {
    for (let at = node; at; at = at.parentElement) yield at;
  };

  // The colour behind what stands in an element.
  const ground = (node) => {
    const layers = [];
    for (const at of parents(node)) {
      const colour = numbers(style(at).backgroundColor);
      if (colour[3] > 0) layers.push(colour);
      if (colour[3] === 1) return layers.reverse().reduce((back, front) => over(front, back));
    }
    throw new Error("nothing behind it is opaque");
  };
  const luminance = (colour) => {
    const [red, green, blue] = colour.slice(0, 3).map((part) => part / 255).map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const contrast = (one, other) => {
    const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (light + 0.05) / (dark + 0.05);
  };
  const opacity = (node) => [...parents(node)].reduce((all, at) => all * Number(style(at).opacity), 1);
  const isSeen = (node) => {
    const { width, height } = node.getBoundingClientRect();
    return node.checkVisibility({ visibilityProperty: true }) && width > 1 && height > 1 && opacity(node) > 0;
  };
  const isLarge = (node) => {
    const { fontSize, fontWeight } = style(node);
    return parseFloat(fontSize) >= 24 || (parseFloat(fontSize) >= 18.66 && Number(fontWeight) >= 700);
  };
  const named = (node) => `${node.tagName.toLowerCase()}${node.id ? `#${node.id}` : ""}${[...node.classList].map((name) => `.${name}`).join("")}`;

  const legible = (node, colour, text) => {
    const front = numbers(colour);
    front[3] *= opacity(node);
    const behind = ground(node);
    return { text: text.trim().slice(0, 40), of: named(node), ratio: contrast(over(front, behind), behind), least: isLarge(node) ? 3 : 4.5 };
  };

  // Every text that can be seen, with its contrast: text nodes, what fields hold, and what they say while empty.
  const texts = () => {
    const found = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      const of = node.parentElement;
      if (node.data.trim() && !of.closest("script, option, textarea, :disabled") && isSeen(of)) found.push(legible(of, style(of).color, node.data));
    }
    for (const field of document.querySelectorAll("textarea, select, input:not([type=radio], [type=checkbox], [type=hidden])")) {
      if (!isSeen(field)) continue;
      found.push(legible(field, style(field).color, field.value || field.name || "a field"));
      if (field.placeholder) found.push(legible(field, getComputedStyle(field, "::placeholder").color, field.placeholder));
    }
    return found;
  };

  // What shows the focus of an element: itself, or the label's part that stands for a hidden button of a choice.
  const shown = (node) => (node.matches("label > input") && style(node).opacity === "0" ? node.nextElementSibling : node);
  const focused = () => {
    const node = document.activeElement;
    if (!node || node === document.body) return null;
    const seen = shown(node);
    const { outlineStyle, outlineWidth, outlineColor } = style(seen);
    const { left, right, top, bottom } = seen.getBoundingClientRect();
    const [x, y] = [(left + right) / 2, (Math.max(top, 0) + Math.min(bottom, innerHeight)) / 2];
    const at = document.elementFromPoint(x, y);
    return {
      of: named(node),
      index: [...document.querySelectorAll("*")].indexOf(node),
      group: node.matches("[type=radio]") ? node.name : null,
      width: outlineStyle === "none" ? 0 : parseFloat(outlineWidth),
      ratio: contrast(numbers(outlineColor), ground(seen.parentElement)),
      isCovered: !(at && (node.contains(at) || seen.contains(at) || at.contains(node))) || Boolean(at.closest(".send") && !node.closest(".send")),
    };
  };

  // What the Tab key has to reach: all that can be operated, one of each group of radio buttons.
  const operable = () => [...document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex='0']")]
    .filter((node) => !node.disabled && node.type !== "hidden" && shown(node) && isSeen(shown(node)))
    .map((node) => ({ of: named(node), index: [...document.querySelectorAll("*")].indexOf(node), group: node.matches("[type=radio]") ? node.name : null }));

  // What reaches beyond the right or left edge, outside of regions that scroll by themselves.
  const beyond = () => {
    const width = document.documentElement.clientWidth;
    const scrolls = (node) => [...parents(node.parentElement)].some((at) => ["auto", "scroll"].includes(style(at).overflowX) && at !== document.body && at !== document.documentElement);
    return [...document.querySelectorAll("body *")]
      .filter((node) => isSeen(node) && !node.matches(".skip, .hidden") && !scrolls(node))
      .filter((node) => node.getBoundingClientRect().right > width + 0.5 || node.getBoundingClientRect().left < -0.5)
      .map(named);
  };

  // Where the lines of an element's text stand: the free room on its left and on its right.
  const room = (selector) => [...document.querySelectorAll(selector)].map((node) => {
    const range = document.createRange();
    range.selectNodeContents(node);
    const lines = [...range.getClientRects()].filter((line) => line.width > 1);
    const box = node.getBoundingClientRect();
    return { text: (node.matches("textarea, input") ? node.value : node.textContent).slice(0, 20), direction: style(node).direction,
      left: Math.min(...lines.map((line) => line.left)) - box.left, right: box.right - Math.max(...lines.map((line) => line.right)) };
  });

  // What a finger has to hit, with its smaller side in CSS pixels; links in a line of text are left out.
  const hit = (node) => (node.matches("[type=radio], [type=checkbox]") ? node.labels[0] : node);
  const targets = () => [...document.querySelectorAll("button, select, textarea, summary, nav a, input")]
    .filter((node) => node.type !== "hidden" && isSeen(hit(node)))
    .map((node) => ({ of: named(node), size: Math.min(hit(node).getBoundingClientRect().width, hit(node).getBoundingClientRect().height) }));

  return { texts, focused, operable, beyond, room, targets, width: () => [document.documentElement.scrollWidth, document.documentElement.clientWidth] };
})()
