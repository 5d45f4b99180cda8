/** Light, dark, or as the system has it. Only this choice outlives the tab. */

import { Stored } from "./storage.js";
import { h } from "./dom.js";

const NAMES = { auto: "Auto", light: "Light", dark: "Dark" };

export function themeButton() {
  const stored = new Stored("localStorage", "outworker.theme");
  const button = h("button", { type: "button", class: "quiet", onclick: () => choose(next()) });
  let current = stored.value in NAMES ? stored.value : "auto";
  choose(current);
  return button;

  function next() {
    const all = Object.keys(NAMES);
    return all[(all.indexOf(current) + 1) % all.length];
  }

  function choose(theme) {
    current = theme;
    stored.value = theme;
    document.documentElement.dataset.theme = theme;
    button.textContent = `${NAMES[theme]} theme`;
  }
}
