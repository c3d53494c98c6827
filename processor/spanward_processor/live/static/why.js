// What a rise of latency is made of, asked when somebody wants to know: the answer keeps a processor busy for a second.

import { html, useState } from "./vendor/htm-preact.js";
import { seconds, signedShare } from "./format.js";

const WINDOWS = 2; // before a finding opened, in which what it speaks of was there
const WORTH_A_LINE = 0.01; // share of the rise
const MOST_S = 86_400;
const LAYERS = ["data", "application", "infrastructure", "version", "unexplained"]; // in the order of their colours
const TONES = ["mix-0", "mix-1", "mix-3", "mix-4", "mix-rest"];

export function Why({ finding, now }) {
  const [told, setTold] = useState(null);
  const ask = async (event) => {
    if (!event.currentTarget.open) return;
    setTold({ waiting: true });
    setTold(await answer(finding, now));
  };
  return html`<details class="why" onToggle=${ask}>
    <summary>What the rise is made of</summary>
    ${told && html`<${Answer} told=${told} />`}
  </details>`;
}

async function answer({ series, opened_ns, window_ns }, now) {
  const since = Math.min(MOST_S, Math.ceil((now - opened_ns + WINDOWS * window_ns) / 1e9));
  const place = [series.service, series.model].map(encodeURIComponent).join("/");
  try {
    const response = await fetch(`/v1/explain/${place}?since=${Math.max(1, since)}s`);
    const told = await response.json();
    return response.ok ? told : { failed: told.errors?.join("; ") ?? "The processor did not answer." };
  } catch {
    return { failed: "The processor did not answer." };
  }
}

function Answer({ told }) {
  if (told.waiting) return html`<p class="faint" role="status">Looking at the rows ...</p>`;
  if (told.failed) return html`<p class="faint" role="status">${told.failed}</p>`;
  const rises = [
    ["of the mean's rise", told.mean],
    ["of the rise of p99", told.p99],
  ].filter(([, rise]) => rise?.answer === "rose");
  return html`<p>${told.sentence}</p>
    ${rises.map(([name, rise]) => html`<${Bar} key=${name} name=${name} rise=${rise} />`)}`;
}

// Parts that fell have no place in the bar, and stand in the list.
function Bar({ name, rise }) {
  const parts = LAYERS.map((layer, place) => ({
    layer,
    tone: TONES[place],
    share: rise.layers_s[layer] / rise.rise_s.value,
    seconds: rise.layers_s[layer],
  })).filter(({ share }) => Math.abs(share) >= WORTH_A_LINE);
  const whole = parts.reduce((sum, { share }) => sum + Math.max(0, share), 0);
  return html`<figure class="mix">
    <figcaption>${name}, ${seconds(rise.before_s)} to ${seconds(rise.now_s)}</figcaption>
    <div class="mix-bar" aria-hidden="true">
      ${parts
        .filter(({ share }) => share > 0)
        .map(
          ({ share, tone }) =>
            html`<span key=${tone} class=${tone} style=${{ width: `${(100 * share) / whole}%` }}></span>`,
        )}
    </div>
    <ul>
      ${parts.map(
        (part) => html`<li key=${part.tone}>
          <span class=${`swatch ${part.tone}`} aria-hidden="true"></span>
          <span class="mix-label">${part.layer}</span>
          <span class="faint">${signedShare(part.share)}, ${part.seconds < 0 ? "-" : "+"}${seconds(Math.abs(part.seconds))}</span>
        </li>`,
      )}
    </ul>
  </figure>`;
}
