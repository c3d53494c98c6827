// The decision mix as one labelled bar.

import { html } from "./vendor/htm-preact.js";
import { share } from "./format.js";

const PLACES = 8; // colours
const held = new Map(); // series key -> decision in each place

// A decision keeps its colour while it is shown, however the order of shares changes.
function placesOf(key, labels) {
  const places = held.get(key) ?? Array(PLACES).fill(null);
  const kept = places.map((label) => (labels.includes(label) ? label : null));
  for (const label of labels) {
    if (!kept.includes(label)) kept[kept.indexOf(null)] = label;
  }
  held.set(key, kept);
  return kept;
}

export function Mix({ view, alarm }) {
  const decisions = view.decisions.slice(0, PLACES);
  if (decisions.length === 0) return null;
  const places = placesOf(view.key, decisions.map(([label]) => label));
  const rest = 1 - decisions.reduce((sum, [, part]) => sum + part, 0);
  const parts = decisions.map(([label, part]) => ({ label, part, tone: `mix-${places.indexOf(label)}` }));
  if (rest > 0.0005) parts.push({ label: "others", part: rest, tone: "mix-rest" });
  return html`<figure class=${`mix ${alarm ?? ""}`}>
    <figcaption>decisions${alarm && html` <span class="unusual">unusual</span>`}</figcaption>
    <div class="mix-bar" aria-hidden="true">
      ${parts.map(({ part, tone }) => html`<span key=${tone} class=${tone} style=${{ width: `${100 * part}%` }}></span>`)}
    </div>
    <ul>
      ${parts.map(
        ({ label, part, tone }) => html`<li key=${tone}>
          <span class=${`swatch ${tone}`} aria-hidden="true"></span>
          <span class="mix-label" title=${label}>${label}</span> <span class="faint">${share(part)}</span>
        </li>`,
      )}
    </ul>
  </figure>`;
}
