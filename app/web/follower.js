/** Keeps the end of a growing log in view, for as long as the reader is there. */

const NEAR_END_PX = 80;
const EVERY_MS = 100;

export class Follower {
  constructor(log) {
    this.log = log;
    this.seen = 0; // the height at the last look: who was near its end then stays near the end
    this.#toEnd();
    this.timer = setInterval(() => this.#look(), EVERY_MS);
  }

  end() {
    clearInterval(this.timer);
    this.#look();
  }

  #look() {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroller();
    const wasNearEnd = this.seen - scrollTop - clientHeight < NEAR_END_PX;
    this.seen = scrollHeight;
    if (wasNearEnd) this.#toEnd();
  }

  #toEnd() {
    if (!this.log.checkVisibility()) return;
    const scroller = this.#scroller();
    scroller.scrollTop = scroller.scrollHeight;
    this.seen = scroller.scrollHeight;
  }

  /** On a small screen the whole page scrolls. */
  #scroller() {
    return getComputedStyle(this.log).overflowY === "auto" ? this.log : document.scrollingElement;
  }
}
