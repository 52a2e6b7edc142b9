// Elements from data. Texts become text nodes and nothing else, so what people wrote is never read as markup.

export function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") node.addEventListener(name, value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

export function message({ role, content }, language, withRole) {
  return el("div", { class: `message ${role === "user" ? "asked" : "told"}` },
    withRole ? el("p", { class: "role" }, role) : null,
    el("div", { class: "text", dir: "auto", lang: language }, content));
}

export function messages(list, language) {
  return list.map((one) => message(one, language, list.length > 1 || one.role === "system"));
}

export function last(answer) {
  return answer[answer.length - 1].content;
}

export function announce(words) {
  document.getElementById("said").textContent = words;
}

export function field(words, input) {
  return el("label", {}, words, input);
}
