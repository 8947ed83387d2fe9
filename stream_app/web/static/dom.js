/**
 * Elements without markup: whatever users and titles are called, it becomes text.
 */

const SVG = "http://www.w3.org/2000/svg";

/**
 * @typedef {Node | string | number | null | undefined | false} Child
 * @typedef {Record<string, string | number | boolean | null | undefined | EventListener>} Attributes
 */

/**
 * An HTML element. Attributes that are null, undefined or false are left out; functions listen to the event of that name.
 * @param {string} tag
 * @param {Attributes} [attributes]
 * @param {...(Child | Child[])} children
 * @returns {HTMLElement}
 */
export function el(tag, attributes = {}, ...children) {
  return /** @type {HTMLElement} */ (filled(document.createElement(tag), attributes, children));
}

/**
 * The same for SVG.
 * @param {string} tag
 * @param {Attributes} [attributes]
 * @param {...(Child | Child[])} children
 * @returns {SVGElement}
 */
export function svg(tag, attributes = {}, ...children) {
  return /** @type {SVGElement} */ (filled(document.createElementNS(SVG, tag), attributes, children));
}

/**
 * @param {Element} element
 * @param {Attributes} attributes
 * @param {(Child | Child[])[]} children
 */
function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, String(value));
  }
  for (const child of children.flat()) {
    if (child !== null && child !== undefined && child !== false) element.append(child instanceof Node ? child : String(child));
  }
  return element;
}

/**
 * Children by key, in this order: those that are there already are kept (and so keep the focus), and glide to their place.
 * @template T
 * @param {Element} parent
 * @param {T[]} values
 * @param {(value: T) => string} key
 * @param {() => Element} make
 * @param {(element: any, value: T, place: number) => void} update
 */
export function keyed(parent, values, key, make, update) {
  /** @type {Map<string, HTMLElement>} */
  const before = new Map();
  for (const child of /** @type {Iterable<HTMLElement>} */ (parent.children)) before.set(child.dataset.key ?? "", child);
  const tops = new Map([...before].map(([name, child]) => [name, child.getBoundingClientRect().top]));
  const wanted = values.map((value, place) => {
    const name = `k${key(value)}`;
    const element = before.get(name) ?? /** @type {HTMLElement} */ (make());
    element.dataset.key = name;
    update(element, value, place);
    return element;
  });
  const kept = new Set(wanted);
  for (const child of [...parent.children]) if (!kept.has(/** @type {HTMLElement} */ (child))) child.remove();
  wanted.forEach((element, place) => {
    if (parent.children[place] !== element) parent.insertBefore(element, parent.children[place] ?? null);
  });
  if (still()) return;
  for (const element of wanted) {
    const top = tops.get(element.dataset.key ?? "");
    const by = top === undefined ? 0 : top - element.getBoundingClientRect().top;
    if (by) element.animate([{ transform: `translateY(${by}px)` }, { transform: "none" }], { duration: 350, easing: "ease-out" });
  }
}

/** Whether the person wants nothing to move. */
export function still() {
  return matchMedia("(prefers-reduced-motion: reduce)").matches;
}

/**
 * Text of an element, written only when it is another.
 * @param {Element} element
 * @param {string} text
 */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * From one list of numbers to the next in a third of a second; the last call on an element wins.
 * @param {Element & { motion?: number, numbers?: number[] }} element
 * @param {number[]} to
 * @param {(numbers: number[]) => void} draw
 */
export function glide(element, to, draw) {
  const from = element.numbers?.length === to.length ? element.numbers : to;
  cancelAnimationFrame(element.motion ?? 0);
  if (from === to || still()) {
    element.numbers = to;
    draw(to);
    return;
  }
  const began = performance.now();
  const step = (/** @type {number} */ now) => {
    const share = Math.min(1, (now - began) / 350);
    const eased = 1 - (1 - share) ** 3;
    element.numbers = to.map((value, place) => from[place] + (value - from[place]) * eased);
    draw(element.numbers);
    if (share < 1) element.motion = requestAnimationFrame(step);
  };
  element.motion = requestAnimationFrame(step);
}

/**
 * A line after a list that is empty.
 * @param {HTMLElement} list
 * @param {boolean} is
 * @param {string} text
 */
export function empty(list, is, text) {
  const word = /** @type {HTMLElement | null} */ (list.nextElementSibling);
  const there = word?.classList.contains("empty-line") ? word : null;
  if (is && !there) list.after(el("p", { class: "empty-line" }, text));
  if (!is) there?.remove();
}
