/** Server-sent events that come again by themselves, and say how they are. */

const AGAIN_MS = 3000;
const HIDDEN_MS = 60_000;

/**
 * @param {string} path
 * @param {Record<string, (data: any) => void>} handlers by kind of event
 * @param {(state: "live" | "waiting" | "full" | "shut") => void} tell
 * @returns {() => void} ends it
 */
export function openStream(path, handlers, tell) {
  /** @type {EventSource | undefined} */
  let source;
  let timer = 0;
  let ended = false;
  const open = () => {
    tell("waiting");
    source = new EventSource(path);
    for (const [kind, handle] of Object.entries(handlers)) {
      source.addEventListener(kind, (event) => {
        tell("live");
        handle(JSON.parse(/** @type {MessageEvent} */ (event).data));
      });
    }
    source.addEventListener("error", () => {
      if (ended) return;
      tell("waiting");
      if (source?.readyState === EventSource.CLOSED) again();
    });
  };
  const again = async () => {
    source?.close();
    const status = await fetch("/api/about").then((answer) => answer.status, () => 0);
    if (ended) return;
    if (status === 401) location.reload(); // to the login page
    tell(status === 200 ? "full" : "waiting");
    timer = window.setTimeout(open, AGAIN_MS);
  };
  // Nobody sees a hidden tab: it lets go of its stream after a minute, and takes it up again when it is looked at.
  const rest = () => {
    clearTimeout(timer);
    if (document.hidden) timer = window.setTimeout(() => (source?.close(), tell("waiting")), HIDDEN_MS);
    else if (source?.readyState === EventSource.CLOSED) open();
  };
  document.addEventListener("visibilitychange", rest);
  open();
  return () => {
    ended = true;
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", rest);
    source?.close();
  };
}

/**
 * JSON from this server. Raises Error with what it says.
 * @param {string} path
 * @param {unknown} [body] sent by POST
 * @returns {Promise<any>}
 */
export async function ask(path, body) {
  const post = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const answer = await fetch(path, body === undefined ? {} : post);
  const found = await answer.json();
  if (!answer.ok) throw new Error(found.says ?? `status ${answer.status}`);
  return found;
}
