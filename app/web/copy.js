/** A button that puts a text on the clipboard and says so. */

import { h } from "./dom.js";

const SHOWN_MS = 1500;

/** `text()` is asked when the button is pressed. */
export function copyButton(text, kind = "quiet") {
  const label = "Copy";
  let back;
  const button = h("button", { type: "button", class: kind, "aria-live": "polite", onclick: copy }, label);
  return button;

  async function copy() {
    clearTimeout(back);
    const copied = (await written(text())) || copiedFrom(button, text());
    button.textContent = copied ? "Copied" : "Select and copy by hand";
    back = setTimeout(() => (button.textContent = label), SHOWN_MS);
  }
}

/** Browsers give a page the clipboard over HTTPS and on loopback only. */
async function written(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

/** The older way, which plain HTTP has too: a selected text and the command. Beside `button`, as a dialog makes all else inert. */
function copiedFrom(button, text) {
  const holder = h("textarea", { class: "visually-hidden", readonly: true, tabindex: -1, "aria-hidden": "true" });
  holder.value = text;
  button.after(holder);
  holder.select();
  const copied = document.execCommand("copy");
  holder.remove();
  button.focus();
  return copied;
}
