/** Finding somebody: by id, or among those whom workers wrote of late. */

import { el, keyed, say } from "./dom.js";
import { ask } from "./stream.js";
import { ago, count, percent } from "./words.js";

const EVERY_MS = 3000;

/**
 * @param {string} user
 * @param {string} page where a hit is shown
 */
export function searchBar(user, page) {
  const input = /** @type {HTMLInputElement} */ (
    el("input", { type: "search", id: "user-id", name: "user", placeholder: "user id", value: user, autocomplete: "off", spellcheck: "false", list: "late", enterkeyhint: "search" })
  );
  const list = el("datalist", { id: "late" });
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    const wanted = input.value;
    if (wanted) location.hash = `#/${page}/${encodeURIComponent(wanted)}`;
  };
  const slash = (/** @type {KeyboardEvent} */ event) => {
    const typing = event.target instanceof HTMLElement && event.target.matches("input, textarea, select");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      input.select();
      input.focus();
    }
  };
  addEventListener("keydown", slash);
  ask("/api/users").then(
    ({ users }) => list.replaceChildren(...users.map((/** @type {any} */ one) => el("option", { value: one.user }))),
    () => {},
  );
  const element = el(
    "form",
    { class: "search", role: "search", submit },
    el("label", { for: "user-id", class: "unseen" }, "User id"),
    input,
    list,
    el("kbd", { "aria-hidden": "true" }, "/"),
    el("button", { type: "submit" }, "Show"),
  );
  return { element, close: () => removeEventListener("keydown", slash) };
}

/**
 * Keeps a list of users of late in `body`.
 * @param {HTMLElement} body
 * @param {string} page
 * @param {() => void} works
 * @param {() => void} fails
 * @returns {() => void}
 */
export function usersOfLate(body, page, works, fails) {
  const list = el("ul", { class: "people" });
  const hint = el("p", { class: "empty", hidden: true });
  body.append(
    el("div", { class: "headline" }, el("h1", {}, "Who is interested in what, now"), el("p", { class: "facts" }, "Search a user by id, or pick one whom a worker wrote just now.")),
    el("section", { class: "card", "aria-label": "Users of late" }, el("h2", {}, "Users of late"), list, hint),
  );
  const look = async () => {
    try {
      const { users } = await ask("/api/users");
      const now = Date.now();
      keyed(list, users, (/** @type {any} */ one) => one.user, row, (element, one) => draw(element, one, page, now));
      hint.hidden = users.length > 0;
      if (!users.length) nobody(hint);
      works();
    } catch {
      fails();
    }
  };
  look();
  const timer = setInterval(look, EVERY_MS);
  return () => clearInterval(timer);
}

/** @param {HTMLElement} hint */
function nobody(hint) {
  hint.replaceChildren("No user yet: start a worker and send events, or run ", el("code", {}, "interest demo"), ". With pseudonyms, or where the rights leave out SCAN, nobody is listed here; a search by id works all the same.");
}

function row() {
  return el("li", {}, el("a", {}, el("span", { class: "who" }), el("span", { class: "likes" }), el("span", { class: "when" })));
}

/**
 * @param {HTMLElement} element
 * @param {any} one
 * @param {string} page
 * @param {number} now
 */
function draw(element, one, page, now) {
  const link = /** @type {HTMLAnchorElement} */ (element.firstElementChild);
  link.href = `#/${page}/${encodeURIComponent(one.user)}`;
  const [who, likes, when] = link.children;
  say(who, one.user);
  say(likes, one.topics.map(([/** @type {string} */ name, /** @type {number} */ weight]) => `${name} ${percent(weight)}`).join(", "));
  say(when, `${count(one.events)} events · ${ago(one.updated_at, now)}`);
}

/** @param {string} user */
export function noSuchUser(user) {
  return el("div", { class: "empty" }, el("h1", {}, "Nobody here"), el("p", {}, "Redis knows no user ", el("code", {}, user), ": no event of theirs was applied, or they were forgotten. This page shows them as soon as they come."), el("p", {}, el("a", { href: "#/" }, "Users of late")));
}
