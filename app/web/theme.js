/** Light, dark, or as the system has it. Only this choice outlives the tab. */

import { h } from "./dom.js";

const KEY = "outworker.theme";
const NAMES = { auto: "Auto", light: "Light", dark: "Dark" };

export function themeButton() {
  const button = h("button", { type: "button", class: "quiet", onclick: () => choose(next()) });
  let current = localStorage.getItem(KEY);
  choose(current in NAMES ? current : "auto");
  return button;

  function next() {
    const all = Object.keys(NAMES);
    return all[(all.indexOf(current) + 1) % all.length];
  }

  function choose(theme) {
    current = theme;
    document.documentElement.dataset.theme = theme;
    localStorage.setItem(KEY, theme);
    button.textContent = `${NAMES[theme]} theme`;
  }
}
