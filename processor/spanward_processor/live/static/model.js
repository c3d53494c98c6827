// What follows from a snapshot: which findings are open, whose they are, what is usual.

export const SEVERITIES = ["critical", "warning", "info"];

export const isOpen = (finding) => finding.state !== "resolved";

export const worst = (findings) => SEVERITIES.find((severity) => findings.some((finding) => finding.severity === severity));

const urgencyOf = (finding) => 2 * SEVERITIES.indexOf(finding.severity) - (finding.kind === "security" ? 1 : 0);

export const worstFirst = (findings) => [...findings].sort((one, other) => urgencyOf(one) - urgencyOf(other));

// Findings of one incident stand together: the worst leads, among equals one of security, then the one that began the incident.
export function incidentsOf(findings) {
  const byIncident = new Map();
  const began = (finding) => finding.incident === finding.id;
  const inOrder = [...findings].sort((one, other) => one.opened_ns - other.opened_ns || began(other) - began(one));
  for (const finding of worstFirst(inOrder)) {
    const name = finding.incident || finding.id;
    byIncident.set(name, [...(byIncident.get(name) ?? []), finding]);
  }
  return [...byIncident.values()].map(([lead, ...beside]) => ({ lead, beside }));
}

export const sameSeries = (one, other) =>
  one.service === other.service && one.model === other.model && one.version === other.version;

const sameSlice = (one, other) =>
  one === other || (one != null && other != null && one[0] === other[0] && one[1] === other[1]);

// Findings about a series: all of them, or with `exactly` only those about this very slice.
export function findingsOf(series, findings, exactly = false) {
  return findings.filter(
    (finding) => sameSeries(finding.series, series) && (!exactly || sameSlice(finding.series.slice, series.slice)),
  );
}

// The event time in which a finding stood, as Unix seconds; an open one stands until the newest window.
export function intervalOf(finding) {
  return {
    from: (finding.opened_ns - finding.window_ns) / 1e9,
    to: isOpen(finding) ? Infinity : finding.updated_ns / 1e9,
    severity: finding.severity,
  };
}

// Intervals that overlap, cut into pieces that do not, each as severe as the worst in it: shades must not add up.
export function pieces(intervals) {
  const edges = [...new Set(intervals.flatMap(({ from, to }) => [from, to]))].sort((one, other) => one - other);
  return edges.slice(1).flatMap((to, place) => {
    const from = edges[place];
    const over = intervals.filter((one) => one.from <= from && one.to >= to);
    return over.length ? [{ from, to, severity: worst(over) }] : [];
  });
}

// The range in which most windows outside findings lie (10th to 90th percentile), or null where they are too few.
export function usualRange(times, values, intervals) {
  const quiet = values.filter(
    (value, place) => value != null && !intervals.some(({ from, to }) => times[place] > from && times[place] <= to),
  );
  if (quiet.length < 6) return null;
  quiet.sort((one, other) => one - other);
  return [quiet[Math.floor(0.1 * (quiet.length - 1))], quiet[Math.ceil(0.9 * (quiet.length - 1))]];
}

const byText = new Intl.Collator("en", { numeric: true }).compare;

const nameOf = (series) => [series.service, series.model, series.version, ...(series.slice ?? [])].join("\u0000");

const urgency = (series, open) => {
  const place = SEVERITIES.indexOf(worst(findingsOf(series, open)));
  return place === -1 ? SEVERITIES.length : place;
};

// Whole series, each with its slices: the worst first, else by name, so that only a finding moves anything.
export function families(views, findings) {
  const open = findings.filter(isOpen);
  const sorted = [...views].sort((one, other) => byText(nameOf(one.series), nameOf(other.series)));
  return sorted
    .filter((view) => view.series.slice == null)
    .sort((one, other) => urgency(one.series, open) - urgency(other.series, open))
    .map((view) => ({
      view,
      slices: sorted.filter((other) => other.series.slice != null && sameSeries(other.series, view.series)),
    }));
}
