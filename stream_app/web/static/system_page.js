/** The system page: how much flows where, how long each stage takes, what waits, and who is there. */

import { el, keyed, say } from "./dom.js";
import { flowDiagram, sum } from "./flow.js";
import { sparkline } from "./sparkline.js";
import { openStream } from "./stream.js";
import { card, drawBar, barRow } from "./user_page.js";
import { bytes, count, duration, rate } from "./words.js";

/** @typedef {import("./app.js").Context} Context */

const NARROW = matchMedia("(max-width: 760px)");
const FIGURES = {
  events: "events a second",
  p50: "event to Redis, p50",
  p99: "event to Redis, p99",
  lag: "events that wait in Kafka",
  users: "users in memory",
  model: "age of the model",
};

/**
 * @param {Context} context
 * @returns {() => void}
 */
export function systemPage({ main, tell, announce }) {
  document.title = "System · Interests";
  const facts = el("p", { class: "facts" });
  const figures = figureRow();
  const flow = flowDiagram();
  const stages = stageTable();
  const lags = el("ol", { class: "bars" });
  const processes = el("ul", { class: "processes" });
  const nobody = el("p", { class: "empty", hidden: true });
  const whole = el(
    "div",
    {},
    figures.element,
    card("Flow", "rates and medians of the last seconds", flow.element),
    el("div", { class: "grid two" }, card("Stages", "of a worker's cycle", stages.element), card("Lag", "events behind, by topic", lags)),
  );
  main.replaceChildren(el("div", { class: "view" }, el("div", { class: "headline" }, el("h1", {}, "System"), facts), nobody, whole, card("Processes", "whose metrics are read", processes)));
  /** @type {any} */
  let latest;
  let there = true;
  const show = (/** @type {any} */ found) => {
    latest = found;
    whole.hidden = !found.flow;
    nobody.hidden = Boolean(found.flow);
    if (!found.flow) {
      nobody.replaceChildren("No worker answers at the addresses below. Start one with ", el("code", {}, "interest worker"), ", or name its address in ", el("code", {}, "INTEREST_WEB__METRICS_URLS"), ".");
      say(facts, "");
    } else {
      figures.show(found);
      flow.show(found.flow, NARROW.matches);
      stages.show(found.flow.stages);
      const lag = named(found.flow.lag);
      const most = Math.max(...lag.map(([, value]) => value), 1);
      keyed(lags, lag, ([name]) => name, barRow, (row, [name, value]) => drawBar(row, name, value / most, count(value)));
      say(facts, `figures of the last ${found.window_s.toFixed(0)} s`);
    }
    keyed(processes, found.processes, (one) => one.where, processRow, drawProcess);
    const all = found.processes.every((/** @type {any} */ one) => !one.away);
    if (all !== there) announce(all ? "all processes answer" : "a process does not answer", true);
    there = all;
  };
  const turn = () => latest?.flow && flow.show(latest.flow, NARROW.matches);
  NARROW.addEventListener("change", turn);
  const close = openStream("/api/system/events", { system: show }, tell);
  return () => (close(), NARROW.removeEventListener("change", turn));
}

/**
 * By topic, without what all their names begin with.
 * @param {Record<string, number>} lag
 * @returns {[string, number][]}
 */
function named(lag) {
  const parts = Object.keys(lag).sort().map((name) => name.split("."));
  let same = 0;
  while (parts.length > 1 && parts.every((one) => one.length > same + 1 && one[same] === parts[0][same])) same += 1;
  return parts.map((one) => [one.slice(same).join("."), lag[one.join(".")]]);
}

function figureRow() {
  const parts = Object.entries(FIGURES).map(([name, label]) => {
    const line = sparkline();
    const value = el("dd", {}, "–");
    return { name, value, line, element: el("div", { class: "figure" }, el("dt", {}, label), value, line.element) };
  });
  const show = (/** @type {any} */ found) => {
    const { flow } = found;
    const worker = found.processes.find((/** @type {any} */ one) => one.model);
    const numbers = { events: sum(flow.in), p50: flow.event_to_redis[0], p99: flow.event_to_redis[1], lag: sum(flow.lag), users: flow.users, model: worker?.model_age_s };
    const texts = { events: rate(numbers.events), p50: duration(numbers.p50), p99: duration(numbers.p99), lag: count(numbers.lag), users: count(numbers.users), model: duration(numbers.model) };
    for (const { name, value, line } of parts) {
      const key = /** @type {keyof typeof numbers} */ (name);
      say(value, texts[key]);
      line.add(numbers[key] ?? 0);
    }
  };
  return { element: el("dl", { class: "figures" }, ...parts.map(({ element }) => element)), show };
}

function stageTable() {
  const rows = el("tbody", {});
  const element = el(
    "table",
    { class: "stages" },
    el("caption", { class: "unseen" }, "Latency of each stage"),
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "stage"), el("th", { scope: "col", class: "number" }, "p50"), el("th", { scope: "col", class: "number" }, "p99"), el("th", { scope: "col", class: "number" }, "runs/s"))),
    rows,
  );
  const show = (/** @type {any[]} */ stages) => {
    const most = Math.max(...stages.map((one) => one.p[1] ?? 0), 1e-9);
    keyed(
      rows,
      stages,
      (one) => one.name,
      () => el("tr", {}, el("th", { scope: "row" }, el("span", {}), el("span", { class: "bar-track thin", "aria-hidden": "true" }, el("span", { class: "bar-fill faint" }), el("span", { class: "bar-fill" }))), el("td", { class: "number" }), el("td", { class: "number" }), el("td", { class: "number" })),
      (row, one) => {
        const [head, p50, p99, runs] = row.children;
        say(head.children[0], one.name.replace("_", " "));
        const [upper, median] = head.children[1].children;
        upper.style.transform = `scaleX(${((one.p[1] ?? 0) / most).toFixed(4)})`;
        median.style.transform = `scaleX(${((one.p[0] ?? 0) / most).toFixed(4)})`;
        say(p50, duration(one.p[0]));
        say(p99, duration(one.p[1]));
        say(runs, rate(one.per_s));
      },
    );
  };
  return { element, show };
}

function processRow() {
  return el("li", { class: "process" }, el("span", { class: "dot", "aria-hidden": "true" }), el("div", {}, el("strong", {}), el("span", { class: "soft" })), el("span", { class: "number soft" }));
}

/**
 * @param {HTMLElement} row
 * @param {any} one
 */
function drawProcess(row, one) {
  const state = one.away ? "away" : one.kind === "worker" && !one.ready ? "waiting" : "live";
  row.dataset.state = state;
  const [, text, load] = row.children;
  say(text.children[0], `${one.kind || "process"} at ${one.where}`);
  say(text.children[1], one.away ? "away: nobody answers" : about(one));
  say(load, one.away ? "" : `${(100 * one.cpu).toFixed(0)} % of a core · ${bytes(one.memory_bytes)}`);
}

/** @param {any} one */
function about(one) {
  if (one.kind === "worker") {
    const what = one.ready ? (one.serving ? "ready, its generation is read" : "ready") : "not ready yet";
    return `${what} · ${count(one.partitions ?? 0)} partitions · model ${one.model ?? "none"}, generation ${one.generation ?? "–"}`;
  }
  return one.lag === undefined ? "answers" : `answers · ${count(one.lag)} behind`;
}
