/** Which page is shown: after the # there is a page and perhaps a user, so that neither is sent to any server. */

import { say } from "./dom.js";
import { mapPage } from "./map_page.js";
import { ask } from "./stream.js";
import { systemPage } from "./system_page.js";
import { userPage } from "./user_page.js";

/**
 * @typedef {object} Context
 * @property {HTMLElement} main
 * @property {string} user "" for nobody
 * @property {{ what_if: string, login: boolean }} about
 * @property {(state: string) => void} tell how the stream is
 * @property {(text: string, soon?: boolean) => void} announce to who hears the page
 */

/** @type {Record<string, (context: Context) => (() => void)>} */
const PAGES = { user: userPage, map: mapPage, system: systemPage };
const STATES = { live: "live", waiting: "connecting", full: "too many pages are open", away: "Redis is away", shut: "not connected" };
const QUIET_MS = 10_000;

const main = /** @type {HTMLElement} */ (document.getElementById("main"));
const link = /** @type {HTMLElement} */ (document.getElementById("link"));
const says = /** @type {HTMLElement} */ (document.getElementById("link-says"));
const news = /** @type {HTMLElement} */ (document.getElementById("news"));
let about = { what_if: "off", login: false };
let leave = () => {};
let first = true;
let spokenMs = 0;

/** @param {string} state */
function tell(state) {
  link.dataset.state = state;
  say(says, STATES[/** @type {keyof typeof STATES} */ (state)] ?? state);
}

/**
 * A voice that repeats every event is no help: at most every ten seconds, unless it matters.
 * @param {string} text
 * @param {boolean} [soon]
 */
function announce(text, soon = false) {
  const now = performance.now();
  if (!soon && now - spokenMs < QUIET_MS) return;
  spokenMs = now;
  say(news, text);
}

/** @returns {{ page: string, user: string }} */
function route() {
  const [, page = "", user = ""] = location.hash.split("/");
  const known = page === "map" || page === "system" ? page : "user";
  try {
    return { page: known, user: decodeURIComponent(user) };
  } catch {
    return { page: known, user: "" };
  }
}

function show() {
  const { page, user } = route();
  leave();
  main.replaceChildren();
  tell("waiting");
  for (const one of /** @type {NodeListOf<HTMLAnchorElement>} */ (document.querySelectorAll("nav a"))) {
    const mine = one.dataset.page === page;
    if (mine) one.setAttribute("aria-current", "page");
    else one.removeAttribute("aria-current");
    if (one.dataset.page !== "system") {
      one.hash = one.dataset.page === "map" ? `#/map/${encodeURIComponent(user)}` : user ? `#/user/${encodeURIComponent(user)}` : "#/";
    }
  }
  leave = PAGES[page]({ main, user, about, tell, announce });
  if (!first) main.focus({ preventScroll: true });
  if (!first) scrollTo(0, 0);
  first = false;
}

addEventListener("hashchange", show);
document.querySelector(".skip")?.addEventListener("click", (event) => {
  event.preventDefault(); // the # is taken
  main.focus();
});
try {
  about = await ask("/api/about");
} catch {
  tell("shut");
}
document.getElementById("leave")?.toggleAttribute("hidden", !about.login);
show();
