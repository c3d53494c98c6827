// What is wrong, since when, and why: open findings first, the worst of them on top, resolved ones below.

import { html } from "./vendor/htm-preact.js";
import { attribute, count, duration, iso, moment, plural } from "./format.js";
import { Why } from "./why.js";
import { incidentsOf, isOpen, sameSeries } from "./model.js";

const MOST_RESOLVED = 4; // more are folded away
const MOST_SLICES = 5;

export function Findings({ snapshot, families }) {
  const open = incidentsOf(snapshot.findings.filter(isOpen));
  const resolved = snapshot.findings.filter((finding) => !isOpen(finding));
  const show = (finding) =>
    html`<${Finding} key=${finding.id} finding=${finding} families=${families} now=${snapshot.watermark_ns} />`;
  return html`<section class="findings" aria-labelledby="findings-title">
    <h2 id="findings-title">Findings</h2>
    ${open.length
      ? open.map(({ lead, beside }) => html`${show(lead)}<${Beside} findings=${beside} show=${show} />`)
      : html`<${Quiet} families=${families} />`}
    ${resolved.length > 0 && html`<h3>Resolved</h3>`}
    ${resolved.slice(0, MOST_RESOLVED).map(show)}
    ${resolved.length > MOST_RESOLVED &&
    html`<details>
      <summary>${plural(resolved.length - MOST_RESOLVED, "older finding")}</summary>
      ${resolved.slice(MOST_RESOLVED).map(show)}
    </details>`}
  </section>`;
}

// What else shows an incident: named at once, read on demand.
function Beside({ findings, show }) {
  if (findings.length === 0) return null;
  const aspects = [...new Set(findings.map((finding) => finding.aspect.replaceAll("_", " ")))];
  return html`<details class="beside">
    <summary>The same incident shows in ${aspects.join(", ")}: ${plural(findings.length, "more finding")}</summary>
    ${findings.map(show)}
  </details>`;
}

function Quiet({ families }) {
  const learning = families.every(({ view }) => view.state === "learning");
  return html`<p class="none-open">
    ${learning ? "Nothing is judged yet: every series is still learning what is normal." : "No finding is open."}
  </p>`;
}

function Finding({ finding, families, now }) {
  const open = isOpen(finding);
  return html`<article class=${`finding ${finding.severity} ${open ? "" : "resolved"}`} data-finding=${finding.id}>
    <p class="finding-head">
      <span class="badge">${finding.severity}</span>
      <span>${finding.kind} · ${finding.aspect.replaceAll("_", " ")}</span>
      <${Lasting} finding=${finding} now=${now} />
    </p>
    <h3 class="reason">${finding.reason}</h3>
    <dl class="facts">
      <dt>observed</dt>
      <dd>${finding.observed}</dd>
      <dt>usual</dt>
      <dd>${finding.baseline}</dd>
      <dt>evidence</dt>
      <dd><${Evidence} finding=${finding} /></dd>
      ${finding.technique &&
      html`<dt>ATLAS</dt>
        <dd title=${`MITRE ATLAS ${finding.technique.data_version}, ${finding.technique.maturity}`}>
          <strong>${finding.technique.id}</strong> ${finding.technique.name}
        </dd>`}
      ${finding.client &&
      html`<dt>client</dt>
        <dd><code>${finding.client}</code></dd>`}
    </dl>
    ${finding.slices.length > 0 && html`<${Slices} slices=${finding.slices} />`}
    ${open && finding.aspect === "latency" && html`<${Why} finding=${finding} now=${now} />`}
    <${Origin} finding=${finding} families=${families} />
  </article>`;
}

function Lasting({ finding, now }) {
  const opened = finding.opened_ns / 1e9;
  const lasted = (finding.updated_ns - finding.opened_ns) / 1e9;
  const stood = Math.max(0, (now - finding.opened_ns) / 1e9);
  const since = html`<time datetime=${iso(opened)} title=${iso(opened)}>${moment(opened)}</time>`;
  return html`<span class="lasting">
    ${isOpen(finding)
      ? html`since ${since}, for ${duration(stood)}`
      : html`${since}, ${lasted > 0 ? `resolved after ${duration(lasted)}` : "over at once"}`}
  </span>`;
}

// An e-value of 10^x: were nothing different, evidence this strong would come up at most once in 10^x times.
function Evidence({ finding }) {
  const power = finding.log10_e;
  const rows = plural(finding.n, "row");
  if (power == null) return html`beyond any number, ${rows} in the newest window`;
  const odds = power < 4 ? count(Math.max(1, 10 ** power)) : html`10<sup>${Math.floor(power)}</sup>`;
  return html`<span title="If nothing had changed, evidence this strong would come up at most this often">
      1 in ${odds} by chance
    </span>
    ${`, ${rows} in the newest window`}`;
}

function Slices({ slices }) {
  const largest = Math.max(...slices.map((slice) => slice.log10_e ?? 0), 1);
  return html`<ul class="slices" aria-label="Contributing slices, strongest first">
    ${slices.slice(0, MOST_SLICES).map(
      (slice) => html`<li key=${`${slice.name}=${slice.value} ${(slice.also ?? []).join()}`}>
        <span class="slice-name" title=${slice.name}>
          ${attribute(slice.name)} = <strong>${slice.value}</strong>
          ${(slice.also ?? []).map(([name, value]) => html` and ${attribute(name)} = <strong>${value}</strong>`)}
        </span>
        <span class="slice-bar" aria-hidden="true">
          <span style=${{ width: `${(100 * Math.max(0, slice.log10_e ?? largest)) / largest}%` }}></span>
        </span>
        <span class="slice-text">${slice.text}, ${plural(slice.n, "row")}</span>
      </li>`,
    )}
  </ul>`;
}

function Origin({ finding, families }) {
  const { service, model, version, slice } = finding.series;
  const home = families.find(({ view }) => sameSeries(view.series, finding.series));
  const name = `${service} / ${model} ${version}`;
  return html`<p class="origin">
    ${home ? html`<a href=${`#series-${home.view.key}`}>${name}</a>` : name}
    ${slice && html`<span title=${slice[0]}>${attribute(slice[0])} = ${slice[1]}</span>`}
    <span>${finding.detector.replaceAll("_", " ")}</span>
    ${finding.example_trace_id && html`<span>trace <code>${finding.example_trace_id}</code></span>`}
    <span title=${finding.id}>finding <code>${finding.id.slice(0, 8)}</code></span>
  </p>`;
}
