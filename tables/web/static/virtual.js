// A long list that is only as many elements as fit on the screen.

// Drawn above and below what is seen, so that a turn of the wheel finds rows.
const SPARE_ROWS = 6;

/**
 * Rows of equal height inside `body`, scrolled by `scroller`.
 *
 * `make()` returns a new element, `fill(element, item, index)` shows an item in it, `key(item)` tells items apart: an
 * item keeps its element while it is on the screen, so a change of order moves elements instead of redrawing them.
 */
export class VirtualRows {
  constructor({ scroller, body, make, fill, key }) {
    Object.assign(this, { scroller, body, make, fill, key });
    this.items = [];
    this.shown = new Map();
    this.spare = [];
    this.rowHeight = 0;
    scroller.addEventListener("scroll", () => this.request(), { passive: true });
    new ResizeObserver(() => this.resize()).observe(scroller);
    this.resize();
  }

  resize() {
    const height = parseFloat(getComputedStyle(this.body).getPropertyValue("--row"));
    if (height !== this.rowHeight) {
      this.rowHeight = height;
      for (const element of this.shown.values()) element.top = undefined;
    }
    this.request();
  }

  setItems(items) {
    this.items = items;
    this.request();
  }

  /** Draw before the next frame, once however often it is asked for. */
  request() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = undefined;
      this.draw();
    });
  }

  /** The first and last index on the screen. */
  range() {
    const top = this.scroller.scrollTop - this.body.offsetTop;
    const first = Math.max(0, Math.floor(top / this.rowHeight) - SPARE_ROWS);
    const last = Math.ceil((top + this.scroller.clientHeight) / this.rowHeight) + SPARE_ROWS;
    return [first, Math.min(this.items.length, last)];
  }

  draw() {
    if (!this.rowHeight) return;
    const height = `${this.items.length * this.rowHeight}px`;
    if (this.body.style.height !== height) this.body.style.height = height;
    const [first, last] = this.range();
    const wanted = new Set();
    for (let at = first; at < last; at++) wanted.add(this.key(this.items[at]));
    for (const [key, element] of this.shown) {
      if (!wanted.has(key)) {
        this.shown.delete(key);
        this.spare.push(element);
      }
    }
    for (let at = first; at < last; at++) {
      const item = this.items[at];
      const key = this.key(item);
      let element = this.shown.get(key);
      const isNew = !element;
      if (isNew) {
        element = this.spare.pop() ?? this.append();
        element.hidden = false;
        this.shown.set(key, element);
      }
      const top = at * this.rowHeight;
      if (element.top !== top) {
        element.classList.toggle("moving", !isNew && element.top !== undefined);
        element.style.transform = `translateY(${top}px)`;
        element.top = top;
      }
      this.fill(element, item, at);
    }
    for (const element of this.spare) {
      element.hidden = true;
      element.top = undefined;
    }
  }

  append() {
    const element = this.make();
    this.body.append(element);
    return element;
  }

  /** Scroll so that the row at an index is on the screen, or in its middle. */
  reveal(index, { middle = false } = {}) {
    const top = this.body.offsetTop + index * this.rowHeight;
    const { scrollTop, clientHeight } = this.scroller;
    this.draw();
    if (middle) this.scroller.scrollTop = top - clientHeight / 2;
    else if (top < scrollTop + this.body.offsetTop) this.scroller.scrollTop = top - this.body.offsetTop;
    else if (top + this.rowHeight > scrollTop + clientHeight) this.scroller.scrollTop = top + this.rowHeight - clientHeight;
  }
}
