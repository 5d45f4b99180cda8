/** A button that puts a text on the clipboard and says so. */

import { h } from "./dom.js";

const SHOWN_MS = 1500;

/** `text()` is asked when the button is pressed. Where there is no clipboard (plain HTTP on another machine) it says that. */
export function copyButton(text, kind = "quiet") {
  const label = "Copy";
  let back;
  const button = h("button", { type: "button", class: kind, "aria-live": "polite", onclick: copy }, label);
  return button;

  async function copy() {
    clearTimeout(back);
    try {
      await navigator.clipboard.writeText(text());
      button.textContent = "Copied";
    } catch {
      button.textContent = "Select and copy by hand";
    }
    back = setTimeout(() => (button.textContent = label), SHOWN_MS);
  }
}
