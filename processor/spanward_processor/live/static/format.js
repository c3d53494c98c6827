// Numbers and times in words, in the same units as the processor's own sentences.

const ABSENT = "–";

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const time = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });
const zone = new Intl.DateTimeFormat("en-GB", { timeZoneName: "short" });

export function count(value) {
  if (value == null) return ABSENT;
  return Math.abs(value) >= 10 || value === 0 ? whole.format(value) : String(Number(value.toPrecision(2)));
}

export function rate(value) {
  if (value == null) return ABSENT;
  return value > 0 && value < 0.1 ? `${count(60 * value)}/min` : `${count(value)}/s`;
}

export function seconds(value) {
  if (value == null) return ABSENT;
  if (value === 0) return "0 s";
  if (value < 1e-3) return `${whole.format(value * 1e6)} us`;
  return value < 1 ? `${Number((value * 1e3).toPrecision(3))} ms` : `${Number(value.toPrecision(3))} s`;
}

export function share(value) {
  if (value == null) return ABSENT;
  const percent = 100 * value;
  if (percent === 0 || percent >= 10) return `${percent.toFixed(0)} %`;
  return `${Number(percent.toPrecision(2))} %`;
}

// What is left of a budget, which may be less than nothing.
export function signedShare(value) {
  return value < 0 ? `-${share(-value)}` : share(value);
}

// A burn rate: how many times faster than a budget lasts.
export function pace(value) {
  return `${value >= 100 ? whole.format(value) : Number(value.toPrecision(3))}x`;
}

export function duration(value) {
  const total = Math.max(0, Math.round(value));
  const parts = [
    [Math.floor(total / 86400), "d"],
    [Math.floor(total / 3600) % 24, "h"],
    [Math.floor(total / 60) % 60, "min"],
    [total % 60, "s"],
  ];
  const first = parts.findIndex(([amount]) => amount > 0);
  if (first === -1) return "0 s";
  const told = parts.slice(first, first + 2).filter(([amount]) => amount > 0);
  return told.map(([amount, unit]) => `${amount} ${unit}`).join(" ");
}

export function clock(unixSeconds) {
  return time.format(new Date(unixSeconds * 1000));
}

// The time of day, and the day where it is not today: replayed telemetry may be years old.
export function moment(unixSeconds, nowSeconds = Date.now() / 1000) {
  const [date, today] = [unixSeconds, nowSeconds].map((value) => day.format(new Date(value * 1000)));
  return date === today ? clock(unixSeconds) : `${date}, ${clock(unixSeconds)}`;
}

export function zoneName(unixSeconds) {
  const parts = zone.formatToParts(new Date(unixSeconds * 1000));
  return parts.find((part) => part.type === "timeZoneName").value;
}

export function iso(unixSeconds) {
  return new Date(unixSeconds * 1000).toISOString();
}

export function plural(amount, noun) {
  return `${whole.format(amount)} ${noun}${amount === 1 || noun === "series" ? "" : "s"}`;
}

// An attribute's name as a person says it; the whole name belongs in a tooltip.
export function attribute(name) {
  return name.replace(/^spanward\.(dimension\.)?/, "");
}
