// Objectives: what is left of each budget, how fast it burns, and until when it lasts.

import { html } from "./vendor/htm-preact.js";
import { count, duration, pace, signedShare } from "./format.js";

export function Budgets({ budgets }) {
  if (budgets.length === 0) return null;
  const worstFirst = [...budgets].sort((one, other) => urgency(one) - urgency(other) || one.left - other.left);
  return html`<section class="panel" aria-labelledby="budgets-title">
    <h2 id="budgets-title">Objectives</h2>
    ${worstFirst.map((budget) => html`<${Budget} key=${budget.name} budget=${budget} />`)}
  </section>`;
}

const urgency = (budget) => ["critical", "warning", ""].indexOf(budget.severity);

function Budget({ budget }) {
  const { name, of, asks, period, left, rows, bad, severity } = budget;
  const tone = severity || (left <= 0 ? "critical" : "");
  const filled = Math.min(Math.max(left, 0), 1);
  return html`<article class=${`budget ${tone}`}>
    <div class="panel-head">
      <h3>${name}</h3>
      <span class="faint">${of}: ${asks}</span>
      ${severity && html`<span class="badge">${severity === "critical" ? "page" : "ticket"}</span>`}
    </div>
    <div class="meter" role="meter" aria-label=${`Budget left of ${name}`} aria-valuemin="0" aria-valuemax="1" aria-valuenow=${filled}>
      <span style=${{ width: `${100 * filled}%` }}></span>
    </div>
    <p class="budget-facts">
      <span><strong>${signedShare(left)}</strong> of the budget of ${period} left</span>
      <span>${lasting(budget)}</span>
      <span class="faint">${count(bad)} bad of ${count(rows)}</span>
    </p>
    ${budget.burns.length > 0 && html`<dl class="burns" aria-label="Pace at which it burns, by window">
      ${budget.burns.map((burn) => html`<${Burn} key=${burn.window_s} burn=${burn} />`)}
    </dl>`}
  </article>`;
}

function lasting({ left, exhausted_in_s, ends_in_s, period_s, rows }) {
  if (!rows) return "no request counts yet";
  if (left <= 0) return "nothing of it is left";
  if (exhausted_in_s == null && ends_in_s != null) return `lasts to its end in ${duration(ends_in_s)}`;
  if (exhausted_in_s == null) return "nothing burned in the last hour";
  if (exhausted_in_s > period_s) return "lasts longer than that at the pace of the last hour";
  return `gone in ${duration(exhausted_in_s)} at the pace of the last hour`;
}

function Burn({ burn: { window_s, rate, due } }) {
  const over = due != null && rate >= due;
  const title = due == null ? "Burn rate in this window" : `Burn rate in this window; an alert is due at ${pace(due)}`;
  return html`<div class=${over ? "over" : ""} title=${title}>
    <dt>${duration(window_s)}</dt>
    <dd>${pace(rate)}${due != null && html`<span class="faint"> of ${pace(due)}</span>`}</dd>
  </div>`;
}

