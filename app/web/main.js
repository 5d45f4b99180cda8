/** Puts the page together: head, session, the two pages, and what happens when a model or a token is chosen. */

import { Adapters } from "./adapters.js";
import { Api } from "./api.js";
import { Picker } from "./pickers.js";
import { Playground } from "./playground.js";
import { Session } from "./session.js";
import { h } from "./dom.js";
import { themeButton } from "./theme.js";

const READY_POLL_MS = 1500;
const SERVED_BY = /Served here by (.+?)\.?$/; // what the server adds to a card whose own weights do not answer

const api = new Api(() => session.refused());
const modelPicker = new Picker("Model", () => useModel());
const playground = new Playground(api, modelPicker);
const adapters = new Adapters(api, () => modelPicker.value, () => playground.loadAdapters());
const session = new Session(api, () => guarded(load));
const about = h("p");
const aboutModel = h("details", { class: "about" }, h("summary", {}, "About this model"), about);
const notice = h("p", { class: "notice", role: "status", hidden: true });
const trouble = h("p", { class: "trouble", role: "alert", hidden: true });
const pages = { "#/": playground.element, "#/adapters": adapters.element };
const tokenButton = h("button", { type: "button", class: "quiet", onclick: () => session.ask() }, "Token");
const links = Object.entries({ "#/": "Playground", "#/adapters": "Adapters" }).map(([href, text]) => h("a", { href }, text));
let cards = [];

document.body.prepend(
  h(
    "header",
    {},
    h("div", { class: "row" }, h("h1", {}, h("a", { href: "#/", class: "brand" }, "Outworker")), h("nav", { "aria-label": "Pages" }, ...links)),
    h("div", { class: "row head-tools" }, modelPicker.element, tokenButton, themeButton()),
  ),
  h("main", {}, trouble, notice, aboutModel, ...Object.values(pages)),
);

window.addEventListener("hashchange", () => {
  showPage();
  if (api.token) adapters.load(); // other clients upload and delete too
});
window.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !document.querySelector("dialog[open]")) playground.stop();
});
showPage();
await guarded(() => session.begin());
await waitUntilReady();

/** All that needs a token. */
async function load() {
  cards = await api.models();
  modelPicker.show([{ options: cards.map(({ name }) => ({ value: name, text: name })) }]);
  await Promise.all([useModel(), adapters.load()]);
  playground.composer.focus();
}

async function useModel() {
  modelPicker.complain("");
  const card = cards.find(({ name }) => name === modelPicker.value);
  if (!card) return;
  const served = SERVED_BY.exec(card.description);
  notice.hidden = !served;
  notice.textContent = served ? `Answers come from ${served[1]}.` : "";
  about.textContent = served ? card.description.slice(0, served.index).trim() : card.description;
  adapters.uploader.showModel();
  await guarded(() => playground.useModel(card.name));
}

function showPage() {
  const shown = location.hash in pages ? location.hash : "#/";
  for (const [hash, element] of Object.entries(pages)) element.hidden = hash !== shown;
  for (const link of links) {
    if (link.getAttribute("href") === shown) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

/** An engine takes half a minute to start; the page is there before it. */
async function waitUntilReady() {
  while (!(await Api.ready())) {
    say("The engine is starting. Requests are answered when it is ready.");
    await new Promise((resolve) => setTimeout(resolve, READY_POLL_MS));
  }
  say("");
}

/** Do `work`, and show what went wrong where nothing else would. */
async function guarded(work) {
  try {
    say("");
    await work();
  } catch (error) {
    if (error.status !== 401) say(error.line ?? `The page failed: ${error.message}`);
  }
}

function say(text) {
  trouble.textContent = text;
  trouble.hidden = !text;
}
