/** What would change if: clicks added and taken away, and what would be read out of the user's state then. */

import { el, empty, keyed, say } from "./dom.js";
import { ask } from "./stream.js";
import { count, percent } from "./words.js";

const CLICKS = 12;
const TOPICS = 8;
const PAUSE_MS = 200;

const BASIS = {
  changelog: "Computed by the served model from this user's own state, read from the state table's changelog. Nothing is written.",
  clicks: "Computed by the served model from the clicks alone that reasons in Redis have named, not from the user's whole state: so “now” differs from the topics above. INTEREST_WEB__WHAT_IF=changelog reads the state itself, from Kafka. Nothing is written.",
};

/**
 * @param {string} user
 * @param {string} mode changelog, clicks or off
 * @returns {{ element: HTMLElement, moved: (found: any) => void }}
 */
export function whatIf(user, mode) {
  const state = { add: /** @type {Item[]} */ ([]), without: /** @type {Set<string>} */ (new Set()), open: false };
  const begin = el("button", { type: "button", class: "quiet", click: () => ((state.open = true), compute()) }, "Try it");
  const status = el("p", { class: "soft small", role: "status" });
  const clicks = el("ul", { class: "chips", "aria-label": "Clicks to take away" });
  const added = el("ul", { class: "chips", "aria-label": "Clicks that are added" });
  const search = itemSearch((item) => {
    if (!state.add.some((one) => one.id === item.id)) state.add.push(item);
    compute();
  });
  const turn = el("p", { class: "turn" });
  const topics = el("ol", { class: "bars compared" });
  const offers = el("ol", { class: "offered" });
  const panel = el(
    "div",
    { class: "whatif", hidden: true },
    el("div", { class: "whatif-form" }, el("h3", {}, "Take a click away"), clicks, el("h3", {}, "Add a click"), search.element, added),
    el("div", { class: "whatif-result" }, turn, el("h3", {}, "Topics, now and then"), topics, el("h3", {}, "Would be recommended"), offers),
  );
  const element = el(
    "section",
    { class: "card", "aria-label": "What would change if", hidden: mode === "off" },
    el("h2", {}, "What would change if ", el("small", { class: "hint" }, "a click had come, or never had")),
    el("p", { class: "soft small lead" }, BASIS[/** @type {keyof typeof BASIS} */ (mode)] ?? ""),
    begin,
    panel,
    status,
  );
  let asked = 0;
  let timer = 0;
  const compute = () => {
    begin.setAttribute("aria-busy", "true");
    clearTimeout(timer);
    timer = window.setTimeout(answer, PAUSE_MS);
    draw();
  };
  const answer = async () => {
    const mine = ++asked;
    say(status, panel.hidden ? "The model is being loaded, which takes some seconds the first time…" : "computing…");
    try {
      const found = await ask(`/api/users/${encodeURIComponent(user)}/what-if`, { add: state.add.map((one) => one.id), without: [...state.without] });
      if (mine !== asked) return;
      show(found);
    } catch (error) {
      if (mine === asked) say(status, error instanceof Error ? error.message : "that did not work");
    } finally {
      begin.removeAttribute("aria-busy");
    }
  };
  /** @type {any} */
  let latest;
  const show = (/** @type {any} */ found) => {
    latest = found;
    begin.hidden = true;
    panel.hidden = false;
    const degrees = (Math.acos(Math.max(-1, Math.min(1, found.cosine))) * 180) / Math.PI;
    const changed = state.add.length + state.without.size > 0;
    say(turn, changed ? `The interest turns by ${degrees.toFixed(1)}°.` : "Nothing is changed yet: take a click away, or add one.");
    const before = new Map(found.before.topics);
    const rows = found.after.topics.slice(0, TOPICS);
    const most = Math.max(...rows.map((/** @type {any} */ [name, weight]) => Math.max(weight, before.get(name) ?? 0)), 1e-9);
    keyed(topics, rows, (/** @type {any} */ [name]) => name, comparedRow, (row, [name, weight]) => drawCompared(row, name, before.get(name) ?? 0, weight, most));
    const had = new Set(found.before.offers.map((/** @type {Item} */ one) => one.id));
    keyed(offers, found.after.offers, (/** @type {Item} */ one) => one.id, () => el("li", {}, el("span"), el("span", { class: "tag" })), (row, one) => {
      say(row.children[0], one.title);
      say(row.children[1], had.has(one.id) ? "" : "new");
      row.children[1].hidden = had.has(one.id);
    });
    say(status, found.basis === "changelog" ? `from the state at version ${count(found.version)}` : `from ${found.clicks.length} clicks`);
    draw();
  };
  const draw = () => {
    const known = (latest?.clicks ?? []).filter(Boolean).slice(0, CLICKS);
    const gone = [...state.without].filter((id) => !known.some((/** @type {Item} */ one) => one.id === id)).map((id) => ({ id, title: id }));
    keyed(clicks, unique([...known, ...gone]), (one) => one.id, () => chip("take away"), (row, one) => drawChip(row, one, state.without.has(one.id), () => (toggle(state.without, one.id), compute())));
    empty(clicks, Boolean(latest) && !known.length, "No click is known that the model could name.");
    keyed(added, state.add, (one) => one.id, () => chip("remove"), (row, one) => drawChip(row, one, true, () => ((state.add = state.add.filter((other) => other !== one)), compute())));
  };
  const moved = () => {
    if (state.open && latest && !document.hidden) compute();
  };
  return { element, moved: throttled(moved, 2000) };
}

/** @typedef {{ id: string, title: string }} Item */

/** @param {Item[]} items */
const unique = (items) => [...new Map(items.map((one) => [one.id, one])).values()];

/**
 * @param {Set<string>} set
 * @param {string} value
 */
const toggle = (set, value) => (set.has(value) ? set.delete(value) : set.add(value));

/**
 * @param {() => void} call
 * @param {number} ms
 */
function throttled(call, ms) {
  let waits = false;
  return () => {
    if (waits) return;
    waits = true;
    setTimeout(() => ((waits = false), call()), ms);
  };
}

/** @param {string} does */
function chip(does) {
  return el("li", {}, el("button", { type: "button", class: "chip", "data-does": does }, el("span"), el("span", { class: "mark", "aria-hidden": "true" }, "×")));
}

/**
 * @param {HTMLElement} row
 * @param {Item} item
 * @param {boolean} pressed
 * @param {() => void} press
 */
function drawChip(row, item, pressed, press) {
  const button = /** @type {HTMLButtonElement} */ (row.firstElementChild);
  say(button.children[0], item.title);
  button.setAttribute("aria-pressed", String(pressed));
  button.setAttribute("aria-label", `${button.dataset.does}: ${item.title}`);
  button.onclick = press;
}

function comparedRow() {
  return el("li", { class: "bar" }, el("span", { class: "bar-name" }), el("span", { class: "bar-pair", "aria-hidden": "true" }, el("span", { class: "bar-track" }, el("span", { class: "bar-fill faint" })), el("span", { class: "bar-track" }, el("span", { class: "bar-fill" }))), el("span", { class: "bar-value" }));
}

/**
 * @param {HTMLElement} row
 * @param {string} name
 * @param {number} before
 * @param {number} after
 * @param {number} most
 */
function drawCompared(row, name, before, after, most) {
  const [text, pair, value] = row.children;
  say(text, name);
  [before, after].forEach((weight, place) => {
    /** @type {HTMLElement} */ (pair.children[place].firstElementChild).style.transform = `scaleX(${(weight / most).toFixed(4)})`;
  });
  say(value, `${percent(before)} → ${percent(after)}`);
}

/** @param {(item: Item) => void} choose */
function itemSearch(choose) {
  const input = /** @type {HTMLInputElement} */ (el("input", { type: "search", id: "item-words", placeholder: "words of a title", autocomplete: "off", spellcheck: "false" }));
  const hits = el("ul", { class: "hits" });
  let asked = 0;
  const look = async () => {
    const mine = ++asked;
    const { items } = input.value.trim() ? await ask(`/api/items?q=${encodeURIComponent(input.value)}`).catch(() => ({ items: [] })) : { items: [] };
    if (mine !== asked) return;
    hits.replaceChildren(...items.slice(0, 6).map((/** @type {Item} */ item) => el("li", {}, el("button", { type: "button", class: "hit", click: () => take(item) }, item.title))));
  };
  const take = (/** @type {Item} */ item) => {
    input.value = "";
    hits.replaceChildren();
    input.focus();
    choose(item);
  };
  input.addEventListener("input", look);
  input.addEventListener("keydown", (event) => {
    const first = hits.querySelector("button");
    if (event.key === "Enter" && first) {
      event.preventDefault();
      first.click();
    }
  });
  return { element: el("div", { class: "item-search" }, el("label", { for: "item-words", class: "unseen" }, "Words of an item's title"), input, hits) };
}
