/** One curve. */
export interface Series {
  name: string;
  points: readonly { x: number; y: number }[];
}

/** The contents of one chart. */
export interface Chart {
  title: string;
  /** Labels of the axes, with units. */
  x: string;
  y: string;
  series: readonly Series[];
}

const [WIDTH, HEIGHT] = [560, 320];
const MARGIN = { left: 64, right: 16, top: 16, bottom: 48 };
// Colours that people with colour vision deficiencies can distinguish (Okabe & Ito 2008).
const COLOURS = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#000000', '#999999'];

export function escapeHtml(text: string): string {
  const names: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
  return text.replace(/[&<>"]/g, (character) => names[character]!);
}

/** Round numbers from 0 to at least `highest`, in steps of 1, 2 or 5 times a power of ten. */
export function ticks(highest: number): number[] {
  if (!(highest > 0)) return [0, 1];
  const raw = highest / 4;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= raw * (1 - 1e-9))!;
  return Array.from({ length: Math.ceil(highest / step - 1e-9) + 1 }, (_, i) =>
    Number((i * step).toPrecision(12)),
  );
}

function line(x1: number, y1: number, x2: number, y2: number): string {
  return `<line x1="${x1}" y1="${y1}" x2="${x2}" y2="${y2}"/>`;
}

/** Draws the chart as an SVG with a legend; both axes begin at 0. */
export function drawChart({ title, x, y, series }: Chart): string {
  const points = series.flatMap((one) => one.points);
  const [xs, ys] = [
    ticks(Math.max(...points.map((point) => point.x))),
    ticks(Math.max(...points.map((point) => point.y))),
  ];
  const [right, bottom] = [WIDTH - MARGIN.right, HEIGHT - MARGIN.bottom];
  const place = (value: number, last: number, from: number, to: number): number =>
    Number((from + (value / last) * (to - from)).toFixed(1));
  const across = (value: number): number => place(value, xs.at(-1)!, MARGIN.left, right);
  const up = (value: number): number => place(value, ys.at(-1)!, bottom, MARGIN.top);
  const curves = series.map(({ points: own }, i) => {
    const colour = COLOURS[i % COLOURS.length]!;
    const places = own.map((point) => `${across(point.x)},${up(point.y)}`);
    const dots = own.map((point) => `<circle cx="${across(point.x)}" cy="${up(point.y)}" r="3"/>`);
    return `<g stroke="${colour}" fill="${colour}"><polyline fill="none" stroke-width="2" points="${places.join(' ')}"/>${dots.join('')}</g>`;
  });
  const parts = [
    `<g class="grid">${[...ys.map((value) => line(MARGIN.left, up(value), right, up(value))), line(MARGIN.left, MARGIN.top, MARGIN.left, bottom)].join('')}</g>`,
    ...ys.map(
      (value) => `<text x="${MARGIN.left - 8}" y="${up(value) + 4}" text-anchor="end">${value}</text>`,
    ),
    ...xs.map(
      (value) => `<text x="${across(value)}" y="${bottom + 18}" text-anchor="middle">${value}</text>`,
    ),
    `<text x="${(MARGIN.left + right) / 2}" y="${HEIGHT - 8}" text-anchor="middle">${escapeHtml(x)}</text>`,
    `<text transform="translate(14 ${(MARGIN.top + bottom) / 2}) rotate(-90)" text-anchor="middle">${escapeHtml(y)}</text>`,
    ...curves,
  ];
  return [
    `<section><h2>${escapeHtml(title)}</h2>`,
    `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escapeHtml(title)}">${parts.join('\n')}</svg>`,
    `<ul>${series.map(({ name }, i) => `<li><span style="background:${COLOURS[i % COLOURS.length]!}"></span>${escapeHtml(name)}</li>`).join('')}</ul>`,
    '</section>',
  ].join('\n');
}
