// A chart over the windows: uPlot inside a component, with the intervals of findings shaded.

import { html, useEffect, useRef } from "./vendor/htm-preact.js";
import { clock, iso, moment } from "./format.js";
import { pieces } from "./model.js";

const HEIGHT = 150;
const SHADES = { critical: "--critical-shade", warning: "--warning-shade", info: "--info-shade" };
const scheme = matchMedia("(prefers-color-scheme: dark)");

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export function Chart({ name, group, times, lines, format, intervals }) {
  const home = useRef(null);
  const caption = useRef(null);
  const chart = useRef(null);
  const shaded = useRef(intervals);
  shaded.current = intervals;
  const data = [times, ...lines.map((line) => line.values)];
  const newest = useRef(data);
  newest.current = data;

  useEffect(() => {
    const rebuild = () => {
      chart.current?.destroy();
      caption.current.replaceChildren();
      const options = optionsOf({ home: home.current, caption: caption.current, group, lines, format, shaded });
      chart.current = new uPlot(options, newest.current, home.current);
      showNewest(chart.current);
    };
    const resized = new ResizeObserver(() => chart.current.setSize({ width: home.current.clientWidth, height: HEIGHT }));
    rebuild();
    resized.observe(home.current);
    scheme.addEventListener("change", rebuild); // a canvas does not follow the style sheet
    return () => {
      scheme.removeEventListener("change", rebuild);
      resized.disconnect();
      chart.current.destroy();
    };
  }, []);

  useEffect(() => {
    chart.current.setData(data);
    showNewest(chart.current);
  }, [times, JSON.stringify(intervals)]);

  return html`<figure class=${`chart ${lines.length === 1 ? "single" : ""}`} role="img" aria-label=${spoken(name, times, lines, format)}
    title=${intervals.length ? "Shaded: while a finding was open" : null}>
    <figcaption>${name}<div class="legend" ref=${caption}></div></figcaption>
    <div ref=${home}></div>
  </figure>`;
}

function spoken(name, times, lines, format) {
  const now = lines.map((line) => `${line.label} ${format(line.values.at(-1))}`.trim()).join(", ");
  return `${name} from ${moment(times[0])} to ${moment(times.at(-1))}; newest: ${now}`;
}

// Without a cursor the legend tells the newest window.
function showNewest(chart) {
  if (chart.cursor.idx == null) chart.setLegend({ idx: chart.data[0].length - 1 });
}

function optionsOf({ home, caption, group, lines, format, shaded }) {
  const axis = {
    stroke: colour("--faint"),
    font: "11px system-ui, sans-serif",
    grid: { stroke: colour("--grid"), width: 1 },
    ticks: { show: false },
  };
  return {
    width: home.clientWidth,
    height: HEIGHT,
    padding: [8, 30, 0, 0],
    legend: { mount: (_, table) => caption.append(table), markers: { width: 0, fill: (_, at) => at && colour(lines[at - 1].colour) } },
    cursor: { sync: { key: `series-${group}` }, drag: { x: false, y: false }, points: { size: 6 } },
    scales: { y: { range: (_, low, high) => [0, high > 0 ? high * 1.1 : 1] } },
    axes: [
      { ...axis, size: 24, space: 70, values: (_, splits, __, ___, step) => splits.map((at) => tick(at, step)) },
      { ...axis, size: 54, space: 32, values: (_, splits) => splits.map((value) => format(value)) },
    ],
    series: [
      { label: "time", value: (_, at) => (at == null ? "–" : clock(at)) },
      ...lines.map((line) => ({
        label: line.label,
        stroke: colour(line.colour),
        width: 1.5,
        points: { show: false },
        value: (_, value) => format(value),
      })),
    ],
    hooks: { drawClear: [(chart) => shade(chart, shaded.current)], setCursor: [showNewest] },
  };
}

function tick(at, step) {
  const text = clock(at);
  return step < 60 ? text : step < 86400 ? text.slice(0, 5) : iso(at).slice(5, 10);
}

function shade(chart, intervals) {
  const { left, top, width, height } = chart.bbox;
  const clip = (value) => Math.min(Math.max(value, left), left + width);
  for (const { from, to, severity } of pieces(intervals)) {
    const start = clip(chart.valToPos(from, "x", true));
    const end = to === Infinity ? left + width : clip(chart.valToPos(to, "x", true));
    chart.ctx.fillStyle = colour(SHADES[severity]);
    chart.ctx.fillRect(start, top, end - start, height);
  }
}
