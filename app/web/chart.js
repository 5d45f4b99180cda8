/** Tokens over time, as a line in a small drawing. */

import { svg } from "./dom.js";

const WIDTH = 160;
const HEIGHT = 32;
const EDGE = 2;

export class TokenChart {
  constructor() {
    this.line = svg("polyline", { class: "chart-line", points: "" });
    this.title = svg("title");
    this.element = svg(
      "svg",
      { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img" },
      this.title,
      svg("line", { class: "chart-base", x1: 0, y1: HEIGHT - 1, x2: WIDTH, y2: HEIGHT - 1 }),
      this.line,
    );
    this.waiting = false;
  }

  /** Drawn with the next frame of the screen: tokens may come faster than those. */
  show(meter) {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.#draw(meter);
    });
  }

  #draw({ points, tokens }) {
    if (!points.length) return;
    const lastMs = points.at(-1)[0];
    const x = (ms) => (EDGE + ((WIDTH - 2 * EDGE) * ms) / lastMs).toFixed(1);
    const y = (count) => (HEIGHT - EDGE - ((HEIGHT - 2 * EDGE) * count) / tokens).toFixed(1);
    const corners = [[0, 0], [points[0][0], 0], ...points];
    this.line.setAttribute("points", corners.map(([ms, count]) => `${x(ms)},${y(count)}`).join(" "));
    this.title.textContent = `Tokens over time: ${tokens} in ${(lastMs / 1000).toFixed(2)} seconds`;
  }
}
