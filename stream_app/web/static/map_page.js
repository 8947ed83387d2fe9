/** The map: all items on a plane, and a user who moves over it. */

import { el, say } from "./dom.js";
import { colourOf, scatter, topicsBySize } from "./scatter.js";
import { ask, openStream } from "./stream.js";
import { searchBar } from "./user_search.js";
import { count, percent } from "./words.js";

/** @typedef {import("./app.js").Context} Context */

/** Trails of users whose page was open before, so that a way to another page and back does not end them.
 * @type {Map<string, [number, number][]>} */
const TRAILS = new Map();

/**
 * @param {Context} context
 * @returns {() => void}
 */
export function mapPage({ main, user, tell, announce }) {
  document.title = user ? `${user} on the map · Interests` : "Map · Interests";
  const search = searchBar(user, "map");
  const plane = scatter("All items on a plane; items that the same people like lie close to each other", TRAILS.get(user) ?? [], 0.009);
  const legend = el("ul", { class: "map-legend" });
  const hint = el("p", { class: "empty", hidden: true });
  const facts = el("p", { class: "facts" });
  const around = el("div", { class: "map-page" }, el("section", { class: "card map-card", "aria-label": "Map of items" }, plane.element, hint), el("section", { class: "card", "aria-label": "Topics" }, el("h2", {}, "Topics ", el("small", { class: "hint" }, "choose one to see where it lies")), legend));
  main.replaceChildren(search.element, el("div", { class: "view" }, el("div", { class: "headline" }, el("h1", {}, user ? `${user} on the map` : "Map of items"), facts), around));
  let edition = -1;
  const showItems = async () => {
    const map = await ask("/api/map").catch(() => null);
    hint.hidden = Boolean(map?.items.length);
    if (!map?.items.length) {
      hint.replaceChildren("No items are known: the map is drawn from the served model, or from what ", el("code", {}, "interest catalog"), " keeps in Redis. Run ", el("code", {}, "interest demo"), " for a world with both.");
      return;
    }
    edition = map.edition;
    plane.showItems(map);
    drawLegend(legend, map, plane);
    if (!user) say(facts, `${count(map.items.length)} items, from ${map.source}. Search a user to see where they stand.`);
  };
  showItems().then(() => user || tell("live"));
  if (!user) return () => search.close();
  const close = openStream(
    `/api/users/${encodeURIComponent(user)}/events`,
    {
      interest: (found) => {
        plane.moveUser(found.place);
        TRAILS.set(user, plane.trail());
        const [first] = found.topics;
        say(facts, first ? `${count(found.events)} events; most interested in ${first[0]}, ${percent(first[1])}` : "");
        if (found.edition !== edition && edition >= 0) showItems();
      },
      unknown: () => say(facts, "Redis knows no such user yet."),
      unreadable: () => say(facts, "Redis holds something for this user that no worker wrote."),
      away: () => {
        announce("Redis is away; this page goes on by itself when it is back", true);
        tell("away");
      },
    },
    tell,
  );
  return () => (close(), search.close());
}

/**
 * @param {HTMLElement} legend
 * @param {import("./scatter.js").ItemMap} map
 * @param {import("./scatter.js").Scatter} plane
 */
function drawLegend(legend, map, plane) {
  const colours = colourOf(map);
  /** @type {HTMLElement | null} */
  let chosen = null;
  const rows = topicsBySize(map).map(([topic, size]) => {
    const choose = () => {
      const again = chosen === button;
      chosen?.setAttribute("aria-pressed", "false");
      chosen = again ? null : button;
      chosen?.setAttribute("aria-pressed", "true");
      plane.light(again ? null : topic);
    };
    const button = el("button", { type: "button", "aria-pressed": "false", click: choose }, el("span", { class: `swatch topic-${colours.get(topic) ?? "none"}`, "aria-hidden": "true" }), el("span", { class: "legend-name" }, map.topics[topic]), el("span", { class: "number" }, count(size)));
    return el("li", {}, button);
  });
  legend.replaceChildren(...rows);
}
