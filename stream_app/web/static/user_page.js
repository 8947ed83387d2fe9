/** The user page: who somebody is now, and why they are shown what they are shown. */

import { el, empty, keyed, say } from "./dom.js";
import { pastOf } from "./past.js";
import { radar } from "./radar.js";
import { scatter } from "./scatter.js";
import { sparkline } from "./sparkline.js";
import { ask, openStream } from "./stream.js";
import { noSuchUser, searchBar, usersOfLate } from "./user_search.js";
import { whatIf } from "./what_if.js";
import { ago, count, duration, percent } from "./words.js";

/** @typedef {import("./app.js").Context} Context */

const AXES = 8;
const SERIES = ["content", "social", "behaviour", "vector"];
const DIMENSIONS = {
  behaviour: "from clicks and ratings",
  social: "from whom they follow",
  content: "from what items are about",
};
const WINDOWS = { "1h": "1 hour", "24h": "24 hours", "7d": "7 days", "30d": "30 days" };
const EVERY_MS = 1000;

/**
 * @param {Context} context
 * @returns {() => void}
 */
export function userPage(context) {
  const { main, user, announce, tell } = context;
  const search = searchBar(user, "user");
  const body = el("div", { class: "view" });
  main.replaceChildren(search.element, body);
  if (!user) {
    document.title = "Interests";
    const late = usersOfLate(body, "user", () => tell("live"), () => tell("away"));
    return () => (late(), search.close());
  }
  document.title = `${user} · Interests`;
  const page = portraitPage(context);
  let shown = "";
  const show = (/** @type {string} */ what, /** @type {() => HTMLElement} */ make) => {
    if (shown !== what) body.replaceChildren(make());
    shown = what;
  };
  show("waiting", () => el("p", { class: "empty" }, "looking for this user…"));
  const close = openStream(
    `/api/users/${encodeURIComponent(user)}/events`,
    {
      interest: (found) => {
        show("interest", () => page.element);
        page.show(found);
      },
      unknown: () => {
        show("unknown", () => noSuchUser(user));
        announce(`Redis knows no user ${user}`, true);
      },
      unreadable: () => show("unreadable", () => el("p", { class: "empty" }, "Redis holds something for this user that no worker wrote: delete the key.")),
      away: () => {
        announce("Redis is away; this page goes on by itself when it is back", true);
        tell("away");
      },
    },
    tell,
  );
  const timer = setInterval(page.tick, EVERY_MS);
  return () => (close(), clearInterval(timer), page.close(), search.close());
}

/** @param {Context} context */
function portraitPage({ user, about, announce }) {
  const facts = el("p", { class: "facts" });
  const topics = el("ol", { class: "bars" });
  const dimensions = el("div", { class: "dimensions" });
  const web = radar(SERIES, "How far the interest and its dimensions lean to each topic; the lists beside it tell the same");
  const scale = el("p", { class: "soft small centred" }, "The whole by the topics’ weights, a dimension by its cosine with their items; each to its own largest.");
  const windows = windowsTable();
  const recommended = el("ol", { class: "offers" });
  const clicked = el("ul", { class: "clicked" });
  const words = inWords(user);
  const place = scatter("Where the user lies among the items", [], 0.013);
  const whatifs = whatIf(user, about.what_if);
  const cards = {
    topics: card("Topics", "what the user is interested in now", topics),
    dimensions: card("Dimensions", "how much each agrees with the whole, and where it leans", dimensions),
    radar: card("Radar", "lean to each topic", legend(), web.element, scale),
    windows: card("Windows", "up to the last event; lines are since this page was opened", windows.element),
    recommended: card("Recommended now", "", recommended),
    map: card("Map", "in the middle of the 24 items that are closest", place.element, el("p", { class: "small" }, el("a", { href: `#/map/${encodeURIComponent(user)}` }, "Open the map"))),
    clicked: card("Clicked of late", "as far as reasons name it", clicked),
    words: words.element,
    whatif: whatifs.element,
  };
  const element = el(
    "div",
    {},
    el("div", { class: "headline" }, el("h1", {}, user), facts),
    el(
      "div",
      { class: "portrait" },
      el("div", { class: "thirds" }, cards.topics, cards.dimensions, cards.radar),
      el("div", { class: "column" }, cards.recommended, cards.whatif),
      el("div", { class: "column" }, cards.windows, cards.map, cards.clicked, cards.words),
    ),
  );
  /** @type {any} */
  let latest;
  let offsetMs = 0;
  let heaviest = "";
  let remembers = false;
  const look = pastOf(user, about.what_if, (past) => {
    remembers = true;
    windows.remember(past.windows);
    windows.show(latest.windows);
    say(hintOf(cards.windows), "up to the last event; lines: what was done by 10 minutes, 3 hours and days");
    say(hintOf(cards.clicked), past.unnamed ? `the last ones; ${past.unnamed} more are of items that nobody has named` : "the last ones");
    showClicked(past.clicked);
  });
  const showClicked = (/** @type {any[]} */ items) => {
    keyed(clicked, items, (item) => item.id, () => el("li"), (row, item) => say(row, item.title));
    empty(clicked, !items.length, remembers ? "Nothing was clicked yet." : "No reason has named a click yet.");
  };
  /** @type {string[]} */
  let axes = [];
  let edition = -1;

  const show = (/** @type {any} */ found) => {
    latest = found;
    offsetMs = found.now - Date.now();
    tick();
    keyed(topics, found.topics, ([name]) => name, barRow, (row, [name, weight], number) => drawBar(row, name, weight / (found.topics[0][1] || 1), percent(weight), number));
    keyed(dimensions, found.dimensions, (one) => one.name, dimensionRow, drawDimension);
    axes = axesOf(found, axes);
    web.show(axes, seriesOf(found, axes));
    windows.show(found.windows);
    const items = found.recommended?.items ?? [];
    keyed(recommended, items, (/** @type {any} */ item) => item.id, offerRow, drawOffer);
    empty(recommended, !items.length, "Nothing yet: recommendations come with the first events.");
    say(hintOf(cards.recommended), found.recommended ? `after a ${found.recommended.trigger}` : "");
    if (!remembers) showClicked(found.clicked);
    place.moveUser(found.place);
    if (found.edition !== edition) {
      edition = found.edition;
      showItems(place, cards.map);
    }
    whatifs.moved(found);
    const first = found.topics[0]?.[0] ?? "";
    if (first !== heaviest) announce(`${user}: most interested in ${first}, ${percent(found.topics[0]?.[1] ?? 0)}`);
    heaviest = first;
  };
  const tick = () => {
    if (!latest) return;
    const now = Date.now() + offsetMs;
    look(latest.version);
    say(facts, `${count(latest.events)} events · written ${ago(latest.updated_at, now)} · version ${count(latest.version)} · ${latest.model}`);
    const made = latest.recommended;
    if (made) say(hintOf(cards.recommended), `after a ${made.trigger}, ${ago(made.generated_at, now)}`);
  };
  return { element, show, tick, close: () => {} };
}

/**
 * @param {string} title
 * @param {string} hint
 * @param {...Node} children
 */
export function card(title, hint, ...children) {
  return el("section", { class: "card", "aria-label": title }, el("h2", {}, title, " ", el("small", { class: "hint" }, hint)), ...children);
}

/** @param {Element} of a card */
const hintOf = (of) => /** @type {Element} */ (of.querySelector(".hint"));

/**
 * @param {import("./scatter.js").Scatter} place
 * @param {HTMLElement} around
 */
async function showItems(place, around) {
  const map = await ask("/api/map").catch(() => null);
  around.toggleAttribute("hidden", !map?.items.length);
  if (map?.items.length) place.showItems(map);
}

export function barRow() {
  return el("li", { class: "bar" }, el("span", { class: "bar-name" }), el("span", { class: "bar-track", "aria-hidden": "true" }, el("span", { class: "bar-fill" })), el("span", { class: "bar-value" }));
}

/**
 * @param {HTMLElement} row
 * @param {string} name
 * @param {number} share 0..1 of the track
 * @param {string} value
 */
export function drawBar(row, name, share, value) {
  const [text, track, figure] = row.children;
  say(text, name);
  say(figure, value);
  /** @type {HTMLElement} */ (track.firstElementChild).style.transform = `scaleX(${Math.max(0, Math.min(1, share)).toFixed(4)})`;
}

function dimensionRow() {
  return el("div", { class: "dimension" }, barRow0(), el("p", { class: "lean" }));
}

const barRow0 = () => {
  const row = el("div", { class: "bar" });
  row.append(...barRow().childNodes);
  return row;
};

/**
 * @param {HTMLElement} row
 * @param {any} one
 */
export function drawDimension(row, one) {
  row.classList.add(one.name);
  const [line, lean] = /** @type {HTMLElement[]} */ ([...row.children]);
  drawBar(line, one.name, one.agreement, one.known ? one.agreement.toFixed(2) : "–");
  const near = one.near.slice(0, 2).map(([/** @type {string} */ topic]) => topic).join(" and ");
  const what = DIMENSIONS[/** @type {keyof typeof DIMENSIONS} */ (one.name)];
  say(lean, one.known ? `${what}${near ? `; leans to ${near}` : ""}` : `${what}: nothing known`);
}

function offerRow() {
  return el("li", { class: "offer" }, el("div", {}, el("span", { class: "offer-title" }), el("span", { class: "offer-why" })), el("span", { class: "tag" }), el("span", { class: "offer-score" }));
}

/**
 * @param {HTMLElement} row
 * @param {any} item
 */
function drawOffer(row, item) {
  const [text, tag, score] = row.children;
  say(text.children[0], item.title);
  say(text.children[1], item.why);
  say(tag, item.facet);
  tag.className = `tag ${item.facet}`;
  say(score, item.score.toFixed(2));
}

/**
 * The user's heaviest topics, in the order of the alphabet, so that they stay where they are while weights move. They
 * change only when one of the first three is not among them.
 * @param {any} found
 * @param {string[]} before
 * @returns {string[]}
 */
export function axesOf(found, before) {
  const all = found.radar?.topics ?? found.topics.map((/** @type {any} */ topic) => topic[0]);
  const mine = found.topics.map((/** @type {any} */ topic) => topic[0]).filter((/** @type {string} */ name) => all.includes(name));
  if (before.length && before.every((name) => all.includes(name)) && mine.slice(0, 3).every((/** @type {string} */ name) => before.includes(name))) return before;
  return [...new Set([...mine, ...all])].slice(0, AXES).sort();
}

/**
 * @param {any} found
 * @param {string[]} axes
 * @returns {Record<string, number[]>}
 */
export function seriesOf(found, axes) {
  const weights = new Map(found.topics);
  const whole = { vector: scaled(axes.map((name) => weights.get(name) ?? 0)) };
  if (!found.radar) return whole;
  const at = axes.map((name) => found.radar.topics.indexOf(name));
  const dimensions = Object.entries(found.radar.series).filter(([name]) => name !== "vector");
  return { ...Object.fromEntries(dimensions.map(([name, values]) => [name, scaled(at.map((place) => values[place] ?? 0))])), ...whole };
}

/** @param {number[]} values */
function scaled(values) {
  const most = Math.max(...values, 1e-9);
  return values.map((value) => value / most);
}

function legend() {
  const names = { vector: "whole", behaviour: "behaviour", social: "social", content: "content" };
  return el("ul", { class: "legend", "aria-hidden": "true" }, ...Object.entries(names).map(([name, text]) => el("li", { class: name }, text)));
}

function windowsTable() {
  const rows = Object.entries(WINDOWS).map(([name, label]) => {
    const line = sparkline();
    const cells = Array.from({ length: 4 }, () => el("td", { class: "number" }));
    const row = el("tr", {}, el("th", { scope: "row" }, label), el("td", { class: "spark-cell" }, line.element), ...cells);
    return { name, row, cells, line };
  });
  const heads = ["", "", "clicks", "ratings", "mean", "follows"];
  const element = el(
    "table",
    { class: "windows" },
    el("caption", { class: "unseen" }, "Counts in rolling windows up to the last event"),
    el("thead", {}, el("tr", {}, ...heads.map((head, place) => (place === 1 ? el("td") : place === 0 ? el("th", { scope: "col" }, el("span", { class: "unseen" }, "window")) : el("th", { scope: "col", class: "number" }, head))))),
    el("tbody", {}, ...rows.map(({ row }) => row)),
  );
  /** @type {Record<string, number[]>} */
  let past = {};
  const show = (/** @type {any} */ found) => {
    for (const { name, cells, line } of rows) {
      const one = found[name];
      if (!one) continue;
      const figures = [count(one.clicks), count(one.ratings), one.rating_mean === null ? "–" : one.rating_mean.toFixed(2), count(one.follows)];
      figures.forEach((figure, place) => say(cells[place], figure));
      cells[0].title = `${duration(one.dwell_ms / 1000)} of attention`;
      const done = one.clicks + one.ratings + one.follows;
      if (past[name]) line.set(upTo(past[name], done));
      else line.add(done);
    }
  };
  const remember = (/** @type {Record<string, number[]>} */ found) => (past = found);
  return { element, show, remember };
}

/**
 * What was done since the past was told of falls into its last part.
 * @param {number[]} parts
 * @param {number} now of all of them
 */
export function upTo(parts, now) {
  const told = parts.reduce((sum, part) => sum + part, 0);
  return [...parts.slice(0, -1), Math.max(0, parts[parts.length - 1] + now - told)];
}

/** @param {string} user */
function inWords(user) {
  const text = el("p", { class: "paragraph", "aria-live": "polite" });
  const button = el("button", { type: "button", class: "quiet", click: () => tellAll() }, "Tell it in words");
  const tellAll = async () => {
    button.setAttribute("aria-busy", "true");
    try {
      const found = await ask(`/users/${encodeURIComponent(user)}/explanation`);
      say(text, found.text);
      say(button, "Tell it again");
    } catch (error) {
      say(text, error instanceof Error ? error.message : "that did not work");
    } finally {
      button.removeAttribute("aria-busy");
    }
  };
  return { element: card("In words", "made on request, from the facts on this page", text, button) };
}

