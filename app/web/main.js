/** Puts the page together: head, session, the two pages, and what happens when a model or a token is chosen. */

import { Adapters } from "./adapters.js";
import { Api } from "./api.js";
import { Picker } from "./pickers.js";
import { Playground } from "./playground.js";
import { Readiness } from "./readiness.js";
import { Session } from "./session.js";
import { h } from "./dom.js";
import { lineOf } from "./errors.js";
import { themeButton } from "./theme.js";

const SERVED_BY = /Served here by (.+?)\.?$/; // what the server adds to a card whose own weights do not answer
const TITLE = "Outworker playground";

const readiness = new Readiness();
const api = new Api(
  () => guarded(() => session.refused()),
  () => readiness.watch(),
);
const session = new Session(api, () => {
  showPage();
  return api.token && guarded(load);
});
const modelPicker = new Picker("model", "Model", () => guarded(useModel));
const playground = new Playground(api, session, readiness, modelPicker);
const adapters = new Adapters(api, () => modelPicker.value, () => playground.loadAdapters());
const about = h("p");
const aboutModel = h("details", { class: "about" }, h("summary", {}, "About this model"), about);
const notice = h("p", { class: "notice", role: "status", hidden: true });
const trouble = h("p", { class: "trouble", role: "alert", hidden: true });
const pages = {
  "#/": { name: "Playground", element: playground.element },
  "#/adapters": { name: "Adapters", element: adapters.element },
};
const links = Object.entries(pages).map(([href, { name }]) => h("a", { href }, name));
const nav = h("nav", { "aria-label": "Pages" }, ...links);
const tokenButton = h("button", { type: "button", class: "quiet", onclick: () => session.ask() }, "Token");
const elements = Object.values(pages).map(({ element }) => element);
let cards = [];

document.body.prepend(
  h(
    "header",
    {},
    h("div", { class: "row" }, h("h1", {}, h("a", { href: "#/", class: "brand" }, "Outworker")), nav),
    h("div", { class: "row head-tools" }, modelPicker.element, tokenButton, themeButton()),
  ),
  h("main", {}, readiness.element, trouble, session.welcome, notice, aboutModel, ...elements),
);

window.addEventListener("hashchange", () => {
  if (location.hash.startsWith("#code=")) guarded(() => session.begin()); // a new link, opened in this tab
  showPage();
  if (api.token) adapters.load(); // other clients upload and delete too
});
window.addEventListener("keydown", (event) => {
  const asking = !playground.element.hidden && !document.querySelector("dialog[open]");
  if (event.key === "Escape" && asking) playground.stop();
});
for (const kind of ["dragover", "drop"]) {
  window.addEventListener(kind, (event) => event.preventDefault()); // a file beside its place must not replace the page
}
showPage();
readiness.watch();
await guarded(() => session.begin());

/** All that needs a token. */
async function load() {
  cards = await api.models();
  session.works = true;
  modelPicker.show([{ options: cards.map(({ name }) => ({ value: name, text: name })) }]);
  await Promise.all([useModel(), adapters.load()]);
  if (document.activeElement === document.body) playground.composer.focus();
}

async function useModel() {
  const card = cards.find(({ name }) => name === modelPicker.value);
  if (!card) return;
  const served = SERVED_BY.exec(card.description);
  notice.hidden = !served;
  notice.textContent = served ? `Answers come from ${served[1]}.` : "";
  about.textContent = served ? card.description.slice(0, served.index).trim() : card.description;
  adapters.uploader.showModel();
  await playground.useModel(card.name);
}

function showPage() {
  const shown = location.hash in pages ? location.hash : "#/";
  for (const [hash, { element }] of Object.entries(pages)) element.hidden = hash !== shown || !api.token;
  for (const element of [nav, modelPicker.element, tokenButton, aboutModel]) element.hidden = !api.token;
  document.title = shown === "#/" ? TITLE : `${pages[shown].name} · ${TITLE}`;
  for (const link of links) {
    if (link.getAttribute("href") === shown) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

/** Do `work`, and show what went wrong where nothing else would. A refused token is asked for, and needs no line. */
async function guarded(work) {
  say("");
  try {
    await work();
  } catch (error) {
    if (error.status !== 401) say(lineOf(error));
  }
}

function say(text) {
  trouble.textContent = text;
  trouble.hidden = !text;
}
