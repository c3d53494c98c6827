// The event stream, and whether it is alive.

const SILENCE_MS = 5000; // a snapshot comes each second; a network that swallows packets raises no error
const RETRY_MS = 3000;
const DIRECTION = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g; // could turn round the words beside a name

const plain = (_, value) => (typeof value === "string" ? value.replace(DIRECTION, "\ufffd") : value);

// Calls `on.snapshot(data)`, `on.histories(data)`, `on.finding(data)` as events come, and `on.link(alive)` as it changes.
export function follow(path, on) {
  let heard = Date.now();
  let alive = null;

  function link(now) {
    if (now !== alive) on.link((alive = now));
  }

  function open() {
    const source = new EventSource(path);
    for (const name of ["histories", "snapshot", "finding"]) {
      source.addEventListener(name, (event) => {
        heard = Date.now();
        on[name](JSON.parse(event.data, plain));
        if (name === "snapshot") link(true);
      });
    }
    source.addEventListener("error", () => {
      link(false);
      // The browser comes back by itself after a lost connection, but not after an answer such as 503.
      if (source.readyState === EventSource.CLOSED) setTimeout(open, RETRY_MS);
    });
  }

  open();
  setInterval(() => {
    if (Date.now() - heard > SILENCE_MS) link(false);
  }, 1000);
}
