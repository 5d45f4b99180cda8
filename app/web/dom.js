/**
 * Elements made in code. Whatever is given as a child becomes text or stands as the node that it is: nothing here
 * or elsewhere in this folder reads markup from a string, and the page's Content-Security-Policy forbids it too.
 */

const SVG = "http://www.w3.org/2000/svg";

/** `h("p", {class: "hint", onclick: f}, "text", node)`: null and false attributes and children are left out. */
export function h(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}
