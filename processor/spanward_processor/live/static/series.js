// One card per series: what served, how far it is learned, how it does now and what is usual.

import { html } from "./vendor/htm-preact.js";
import { Chart } from "./chart.js";
import { count, rate, seconds, share } from "./format.js";
import { Mix } from "./mix.js";
import { findingsOf, intervalOf, isOpen, usualRange } from "./model.js";
import { SliceTable } from "./slices.js";

export function Series({ family, history, findings }) {
  const { view, slices } = family;
  const { service, model, version } = view.series;
  const mine = findingsOf(view.series, findings);
  const alarms = new Map(findingsOf(view.series, mine.filter(isOpen), true).map((one) => [one.aspect, one.severity]));
  const title = `series-${view.key}-title`;
  return html`<article class="series" id=${`series-${view.key}`} aria-labelledby=${title}>
    <div class="series-head">
      <h2 id=${title}>${model} <span class="version">${version}</span></h2>
      <span class="faint">${service}</span>
      <${Readiness} view=${view} />
    </div>
    <${Tiles} view=${view} history=${history} alarms=${alarms} intervals=${mine.map(intervalOf)} />
    <${Mix} view=${view} alarm=${alarms.get("decision")} />
    <${Charts} view=${view} history=${history} intervals=${mine.map(intervalOf)} />
    ${slices.length > 0 && html`<${SliceTable} slices=${slices} findings=${mine} />`}
  </article>`;
}

function Readiness({ view }) {
  if (view.state === "ready") return html`<span class="chip ready" title=${view.reason}>ready</span>`;
  const percent = Math.round(100 * view.progress);
  return html`<span class="chip learning">learning ${percent} %</span>
    <div class="learning-bar" role="progressbar" aria-label="Learned" aria-valuenow=${percent}>
      <span style=${{ width: `${percent}%` }}></span>
    </div>
    <span class="learning-reason faint">${view.reason}</span>`;
}

function Tiles({ view, history, alarms, intervals }) {
  const usual = (column) => history && usualRange(history.t_s, history[column], intervals);
  const input = alarms.get("input_tokens") ?? alarms.get("input_size");
  const tiles = [
    ["rate", view.rate_per_s, rate, usual("rate_per_s"), alarms.get("rate")],
    ["latency p50", view.latency_p50_s, seconds, usual("latency_p50_s"), alarms.get("latency")],
    ["latency p99", view.latency_p99_s, seconds, usual("latency_p99_s"), alarms.get("latency")],
    ["errors", view.error_ratio, share, usual("error_ratio"), alarms.get("error")],
    ["input size p50", view.input_size_p50, count, null, input],
  ];
  return html`<dl class="tiles">${tiles.map(([name, ...rest]) => html`<${Tile} key=${name} of=${[name, ...rest]} />`)}</dl>`;
}

function Tile({ of: [name, value, format, range, alarm] }) {
  return html`<div class=${alarm ?? ""}>
    <dt>${name}</dt>
    <dd>${format(value)}</dd>
    <dd class="faint">
      ${alarm && html`<span class="unusual">unusual</span>`}
      ${range &&
      html`<span class="range" title="10th to 90th percentile of the windows shown, those with findings left out">
        ${said(range, format)}
      </span>`}
    </dd>
  </div>`;
}

// A range in two digits, with its unit once: "mostly 11–13 ms".
function said(range, format) {
  const [low, high] = range.map((value) => format(Number(value.toPrecision(2))));
  if (low === high) return `mostly ${low}`;
  const unit = high.replace(/^[0-9.,]+/, "");
  return `mostly ${low.endsWith(unit) ? low.slice(0, low.length - unit.length) : low}–${high}`;
}

function Charts({ view, history, intervals }) {
  if (!history || history.t_s.length < 2) return html`<p class="faint">Charts start with the second window.</p>`;
  return html`<div class="charts">
    <${Chart}
      name="Rate"
      group=${view.key}
      times=${history.t_s}
      lines=${[{ label: "rate", values: history.rate_per_s, colour: "--line-1" }]}
      format=${rate}
      intervals=${intervals}
    />
    <${Chart}
      name="Latency"
      group=${view.key}
      times=${history.t_s}
      lines=${[
        { label: "p50", values: history.latency_p50_s, colour: "--line-1" },
        { label: "p99", values: history.latency_p99_s, colour: "--line-2" },
      ]}
      format=${seconds}
      intervals=${intervals}
    />
  </div>`;
}
