// The top of the page: is everything learned, is anything wrong, do all spans go through.

import { html } from "./vendor/htm-preact.js";
import { count, iso, moment, plural, zoneName } from "./format.js";
import { isOpen, worst } from "./model.js";

const COUNTS = [
  ["accepted", "Spans taken from senders", ""],
  ["forwarded", "Spans that every backend took; the rest waits in the journal, if there is a backend", ""],
  ["annotated", "Spans that carry an anomaly annotation", ""],
  ["late", "Spans that came after their window had closed: forwarded, not counted", "warning"],
  ["refused", "Spans sent back to the sender", "warning"],
  ["dropped", "Spans lost", "critical"],
];

export function Header({ snapshot, families }) {
  return html`<header>
    <div class="bar">
      <img src="/static/icon.svg" alt="" width="24" height="24" />
      <strong>Spanward</strong>
      <span class="faint">${snapshot.version}</span>
      <${EventTime} snapshot=${snapshot} />
    </div>
    <div class="band">
      <${Standing} snapshot=${snapshot} families=${families} />
      <dl class="counts" aria-label="Spans since the start">
        ${COUNTS.map(([name, meaning, concern]) => {
          const value = snapshot.counts[name];
          return html`<div key=${name} title=${meaning} class=${value > 0 ? concern : ""}>
            <dt>${name}</dt>
            <dd>${count(value)}</dd>
          </div>`;
        })}
      </dl>
    </div>
  </header>`;
}

function EventTime({ snapshot }) {
  const seconds = snapshot.watermark_ns / 1e9;
  if (!seconds) return null;
  return html`<span class="event-time" title="Windows are judged up to this event time">
    <span class="faint">event time</span>${" "}
    <time datetime=${iso(seconds)}>${moment(seconds)}</time> <span class="faint">${zoneName(seconds)}</span>
  </span>`;
}

function Standing({ snapshot, families }) {
  const open = snapshot.findings.filter(isOpen);
  const ready = families.filter(({ view }) => view.state === "ready").length;
  const [tone, title] = headline(open, ready, families.length);
  return html`<div class="standing">
    <h1 class=${tone}><span class="dot" aria-hidden="true"></span>${title}</h1>
    <p class="faint">${explanation(open, ready, families.length, snapshot.budget_per_day)}</p>
  </div>`;
}

function headline(open, ready, all) {
  if (open.length) {
    const severity = worst(open);
    const same = open.filter((finding) => finding.severity === severity).length;
    const others = open.length - same;
    return [severity, `${same} ${severity}${others ? `, ${others} lesser` : ""} ${open.length === 1 ? "finding" : "findings"} open`];
  }
  if (all === 0) return ["idle", "Waiting for spans"];
  if (ready < all) return ["learning", `Learning ${all - ready} of ${all} series`];
  return ["ready", `Watching ${plural(all, "series")}: nothing unusual`];
}

function explanation(open, ready, all, budget) {
  const judged = `Thresholds allow at most ${plural(budget, "false alarm")} per day.`;
  if (all === 0) return "A series is learned first and judged once it is ready.";
  if (ready === 0) return "Findings start once a series is ready.";
  if (ready < all) {
    const learning = open.length ? `, learning ${all - ready}` : "";
    return `Watching ${ready} of ${all} series${learning}. ${judged}`;
  }
  return open.length ? `Watching all ${plural(all, "series")}. ${judged}` : judged;
}
