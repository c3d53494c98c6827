// Canaries: the share each has, what is to be done with it, how it differs, and what was done.

import { html } from "./vendor/htm-preact.js";
import { count, iso, moment, share } from "./format.js";
import { Table } from "./tables.js";

const VERDICTS = {
  continue: ["goes on", "info"],
  promote: ["can be promoted", "ready"],
  roll_back: ["roll back", "critical"],
};
const MOST_ACTIONS = 3;

export function Canaries({ canaries }) {
  if (canaries.length === 0) return null;
  return html`<section class="panel" aria-labelledby="canaries-title">
    <h2 id="canaries-title">Canaries</h2>
    ${canaries.map((one) => html`<${Canary} key=${`${one.canary.service}/${one.canary.model}`} canary=${one} />`)}
  </section>`;
}

function Canary({ canary: one }) {
  const [verdict, tone] = VERDICTS[one.decision];
  return html`<article class=${`canary ${tone}`}>
    <div class="panel-head">
      <h3>${one.canary.model} <span class="version">${one.canary.version} against ${one.stable.version}</span></h3>
      <span class="faint">${one.canary.service}</span>
      <span class=${`chip ${tone}`}>${verdict}</span>
    </div>
    <p class="canary-share">
      <span class="split" aria-hidden="true"><span style=${{ width: `${100 * one.share}%` }}></span></span>
      <span>
        <strong>${share(one.share)}</strong> of the requests: ${count(one.requests[1])} of ${one.canary.version},${" "}
        ${count(one.requests[0])} of ${one.stable.version}
      </span>
    </p>
    <p class="reason">${one.reason}</p>
    <ul class="actions">
      ${one.actions.slice(0, MOST_ACTIONS).map(
        ([at_ns, done, what]) => html`<li key=${at_ns} class=${done ? "" : "failed"}>
          <time datetime=${iso(at_ns / 1e9)}>${moment(at_ns / 1e9)}</time> <strong>${done ? "done" : "failed"}</strong> ${what}
        </li>`,
      )}
    </ul>
    <${Table}
      label="What is compared, strongest evidence first"
      columns=${["what", one.stable.version, one.canary.version, "effect (interval)", "within its tolerance"]}
      rows=${one.guards
        .filter((guard) => guard.stable || guard.canary) // nothing was seen of the others
        .map((guard) => ({
          key: guard.name,
          cells: [guard.what, guard.stable, guard.canary, guard.effect, guard.safe ? "surely" : "not surely"],
        }))}
    />
  </article>`;
}
