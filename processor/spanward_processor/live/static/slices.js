// The slices of a series, one line each; those with an open finding first.

import { html } from "./vendor/htm-preact.js";
import { attribute, plural, rate, seconds, share } from "./format.js";
import { findingsOf, isOpen, worst } from "./model.js";

const MOST_SHOWN = 6; // more are folded away

export function SliceTable({ slices, findings }) {
  const open = findings.filter(isOpen);
  const lines = slices.map((view) => ({ view, severity: worst(findingsOf(view.series, open, true)) }));
  const sorted = [...lines.filter((line) => line.severity), ...lines.filter((line) => !line.severity)];
  return html`<${Table} lines=${sorted.slice(0, MOST_SHOWN)} />
    ${sorted.length > MOST_SHOWN &&
    html`<details>
      <summary>${plural(sorted.length - MOST_SHOWN, "more slice")}</summary>
      <${Table} lines=${sorted.slice(MOST_SHOWN)} />
    </details>`}`;
}

function Table({ lines }) {
  return html`<div class="slice-table" role="region" aria-label="Slices" tabindex="0">
    <table>
      <thead>
        <tr>
          ${["slice", "baseline", "rate", "p50", "p99", "errors", "top decision"].map(
            (name) => html`<th key=${name} scope="col">${name}</th>`,
          )}
        </tr>
      </thead>
      <tbody>
        ${lines.map((line) => html`<${Line} key=${line.view.key} ...${line} />`)}
      </tbody>
    </table>
  </div>`;
}

function Line({ view, severity }) {
  const [name, value] = view.series.slice;
  const [top] = view.decisions;
  return html`<tr class=${severity ?? ""}>
    <th scope="row" title=${`${name} = ${value}`}>${attribute(name)} = <strong>${value}</strong></th>
    <td title=${view.reason}>
      ${severity ? html`<span class="badge">${severity}</span>` : view.state === "ready" ? "ready" : `learning ${Math.round(100 * view.progress)} %`}
    </td>
    <td>${rate(view.rate_per_s)}</td>
    <td>${seconds(view.latency_p50_s)}</td>
    <td>${seconds(view.latency_p99_s)}</td>
    <td>${share(view.error_ratio)}</td>
    <td class="top">${top ? `${top[0]} ${share(top[1])}` : "–"}</td>
  </tr>`;
}
