// Joining by invitation: the secret is what stands behind the # of the address, which is not sent with it.

import { call } from "./api.js";
import { bodyOf, send } from "./forms.js";

const token = location.hash.slice(1);
const form = document.getElementById("join");
const offer = document.getElementById("offer");

call("POST", "/api/invitations/look", { token })
  .then((found) => {
    offer.textContent = `You are invited as ${found.role}.`;
    form.elements.languages.value = found.languages.join(" ");
    form.hidden = false;
    form.elements.name.focus();
  })
  .catch((error) => {
    offer.textContent = `This invitation cannot be used: ${error.message}`;
  });

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const { name, password, languages } = bodyOf(form);
  const body = { token, name, password, languages: languages.split(/[\s,]+/).filter((word) => word) };
  if ((await send(form, "/api/join", body)) !== null) location.assign("/");
});
