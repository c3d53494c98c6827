// Deployments of the last 30 days: DORA's five metrics of each subject, and the newest deployments.

import { html } from "./vendor/htm-preact.js";
import { duration, iso, moment, share } from "./format.js";
import { Table } from "./tables.js";

const MOST_SHOWN = 5;
const ABSENT = "–";

export function Deployments({ dora }) {
  const deployed = dora.subjects.filter((one) => one.deployments > 0);
  if (deployed.length === 0) return null;
  return html`<section class="panel" aria-labelledby="deployments-title">
    <h2 id="deployments-title">Deployments in 30 days</h2>
    <${Table}
      label="DORA's metrics"
      columns=${["of", "version", "deployments", "failed", "recovery", "rework (estimate)", "lead time"]}
      rows=${deployed.map((one) => ({ key: nameOf(one.subject), cells: measured(one) }))}
    />
    <ul class="newest" aria-label="Newest deployments">
      ${dora.newest.slice(0, MOST_SHOWN).map((one) => html`<${Deployment} key=${one.number} deployment=${one} />`)}
    </ul>
  </section>`;
}

function measured(one) {
  const open = one.unrecovered ? `, ${one.unrecovered} open` : "";
  return [
    nameOf(one.subject),
    one.version,
    `${one.deployments} (${Number(one.per_day.toPrecision(2))} a day)`,
    `${share(one.change_fail_rate)} (${one.failed})`,
    (one.recovery_s == null ? ABSENT : duration(one.recovery_s)) + open,
    `${share(one.rework_rate)} (${one.rework})`,
    one.lead_s == null ? ABSENT : duration(one.lead_s),
  ];
}

function Deployment({ deployment: one }) {
  const at = one.at_ns / 1e9;
  return html`<li class=${one.failed_ns ? "failed" : ""}>
    <time datetime=${iso(at)}>${moment(at)}</time>
    <strong>${one.version}</strong>
    <span>${nameOf(one.subject)}${one.before && `, after ${one.before}`}</span>
    ${one.failed_ns > 0 && html`<span class="cause">failed: ${one.cause}${outcome(one)}</span>`}
  </li>`;
}

function outcome({ failed_ns, recovered_ns }) {
  return recovered_ns ? `; over after ${duration((recovered_ns - failed_ns) / 1e9)}` : "; not over";
}

function nameOf({ service, model, part }) {
  const named = [service, model].filter(Boolean).join(" / ");
  return part === "model" ? named : `${named}, ${part}`;
}
