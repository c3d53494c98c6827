// Entry: follows the event stream and draws what it says.

import { html, render } from "./vendor/htm-preact.js";
import { Budgets } from "./budgets.js";
import { Canaries } from "./canaries.js";
import { Deployments } from "./deployments.js";
import { Findings } from "./findings.js";
import { moment } from "./format.js";
import { Header } from "./header.js";
import { families, isOpen } from "./model.js";
import { Series } from "./series.js";
import { follow } from "./stream.js";

const MOST_ANNOUNCED = 20; // kept in the log that screen readers speak

const state = { snapshot: null, histories: {}, alive: null, lostSince: null };

function Notice() {
  if (state.alive !== false) return null;
  const since = state.lostSince;
  return html`<p class="notice" role="alert">
    <strong>No connection to the processor.</strong>
    ${state.snapshot
      ? ` What you see is as of ${moment(since)}. Trying again.`
      : " Trying again; is it running, and are fewer than its limit of pages open?"}
  </p>`;
}

function NoSpans({ snapshot }) {
  const receiver = snapshot.receiver;
  const accepted = snapshot.counts.accepted > 0;
  return html`<section class="empty" aria-labelledby="empty-title">
    <h2 id="empty-title">${accepted ? "Spans arrive; no series yet." : "No spans yet."}</h2>
    ${accepted
      ? html`<p>
          A series appears when its first window of ${snapshot.window_s} s closes. Only spans of inference count: they
          carry a model name, as <code>gen_ai.request.model</code> or <code>spanward.model.name</code>.
        </p>`
      : html`<p>Point an OTLP exporter at the processor's gRPC receiver${receiver ? "" : ", by default"}:</p>
          <pre><code>OTEL_EXPORTER_OTLP_PROTOCOL=grpc
OTEL_EXPORTER_OTLP_ENDPOINT=http://${receiver || "localhost:4317"}</code></pre>`}
  </section>`;
}

function Page() {
  const { snapshot, histories, alive } = state;
  if (!snapshot) return html`<main><${Notice} />${alive === null && html`<p class="empty">Connecting.</p>`}</main>`;
  const all = families(snapshot.series, snapshot.findings);
  return html`
    <${Header} snapshot=${snapshot} families=${all} />
    <${Notice} />
    <main class=${`${alive ? "" : "stale"} ${snapshot.findings.length ? "" : "quiet"}`}>
      ${all.length === 0 && snapshot.findings.length === 0
        ? html`<${NoSpans} snapshot=${snapshot} />`
        : html`<${Findings} snapshot=${snapshot} families=${all} />
            <section class="all-series" aria-label="Series">
              <${Canaries} canaries=${snapshot.canaries} />
              <${Budgets} budgets=${snapshot.budgets} />
              <${Deployments} dora=${snapshot.dora} />
              ${all.map(
                (family) =>
                  html`<${Series}
                    key=${family.view.key}
                    family=${family}
                    history=${histories[family.view.key]}
                    findings=${snapshot.findings}
                  />`,
              )}
            </section>`}
    </main>
  `;
}

function draw() {
  render(html`<${Page} />`, document.getElementById("page"));
  const open = state.snapshot ? state.snapshot.findings.filter(isOpen).length : 0;
  document.title = `${open ? `(${open}) ` : ""}Spanward`;
}

function announce(finding) {
  if (finding.state === "updated") return;
  const line = document.createElement("p");
  line.textContent = `${finding.severity} finding ${finding.state}: ${finding.reason}`;
  const log = document.getElementById("announcements");
  log.append(line);
  while (log.children.length > MOST_ANNOUNCED) log.firstChild.remove();
}

follow("/events", {
  snapshot(snapshot) {
    state.snapshot = snapshot;
    draw();
  },
  histories(histories) {
    state.histories = histories; // drawn with the snapshot that follows
  },
  finding: announce,
  link(alive) {
    state.alive = alive;
    if (!alive) state.lostSince = Date.now() / 1000;
    draw();
  },
});
draw();
