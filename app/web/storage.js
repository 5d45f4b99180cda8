/** One value in the browser's storage. A browser that keeps nothing, or something unreadable, counts as empty. */

export class Stored {
  /** `area` is `"sessionStorage"` (this tab) or `"localStorage"` (this browser). */
  constructor(area, key) {
    this.area = area;
    this.key = key;
  }

  get value() {
    try {
      return JSON.parse(window[this.area].getItem(this.key));
    } catch {
      return null;
    }
  }

  set value(value) {
    try {
      if (value === null) window[this.area].removeItem(this.key);
      else window[this.area].setItem(this.key, JSON.stringify(value));
    } catch {
      // blocked or full: it is asked again after a reload
    }
  }
}
