// The plot: how much of each bar is used, and below it the wall time of every run; pure, SVG text.
import { values } from './bars.js';
import { figure, limit, seconds } from './format.js';
import { median } from './statistics.js';

/**
 * @typedef {import('./report.js').Judged} Judged
 * @typedef {import('./bars.js').Results} Results
 * @typedef {import('./bars.js').Verdict} Verdict
 * @typedef {import('./sides.js').Side} Side
 * @typedef {{ lines: string[], height: number }} Panel a panel's elements and the height it takes
 */

const WIDTH = 1490;
const LEFT = 830;
const RIGHT = 1270;
const LINE = 20;
const TITLE = 62;
const COLORS = {
  ours: '#2a6fb0',
  other: '#8a8f98',
  missed: '#c8452f',
  grid: '#d9dce1',
  faint: '#5b626d',
  limit: '#1d2530',
};

const FAINT = `fill="${COLORS.faint}"`;

/** @param {string} text */
const escaped = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

/** @param {number} x @param {number} y @param {string} content @param {string} [attributes] */
const text = (x, y, content, attributes = '') =>
  `<text x="${x}" y="${y}" ${attributes}>${escaped(content)}</text>`;

/** @param {number} x @param {number} top @param {number} bottom @param {string} color @param {number} width */
const vertical = (x, top, bottom, color, width) =>
  `<line x1="${x.toFixed(1)}" y1="${top}" x2="${x.toFixed(1)}" y2="${bottom}" stroke="${color}" stroke-width="${width}"/>`;

/** @param {number} y @param {string} title @param {string} subtitle */
const heading = (y, title, subtitle) => [
  text(20, y + 20, title, 'font-size="16" font-weight="600"'),
  text(20, y + 38, subtitle, FAINT),
];

/** @param {import('./rows.js').Row} row @param {number} y */
function rowName({ title, against }, y) {
  const other = against === undefined ? '' : `<tspan dx="5" ${FAINT}>against ${escaped(against)}</tspan>`;
  return `<text x="20" y="${y}"><tspan font-weight="600">${escaped(title)}</tspan>${other}</text>`;
}

/**
 * The easier of two ways to reach a bar is the one that is drawn.
 * @param {Verdict} verdict @returns {Verdict}
 */
const drawn = (verdict) =>
  verdict.or !== undefined && verdict.or.share < verdict.share ? verdict.or : verdict;

/** @param {number} top @param {readonly Judged[]} judged @returns {Panel} */
function barsPanel(top, judged) {
  const scale = 1.5;
  const x = (/** @type {number} */ share) => LEFT + (Math.min(share, scale) / scale) * (RIGHT - LEFT);
  const lines = heading(
    top,
    'How much of each bar is used',
    'figure as a share of what its bar allows; shorter is better, right of the black line is missed',
  );
  let y = top + TITLE;
  const body = [];
  for (const { row, verdicts } of judged) {
    for (const [n, verdict] of verdicts.map(drawn).entries()) {
      const baseline = y + 14;
      if (n === 0) body.push(rowName(row, baseline));
      body.push(text(LEFT - 8, baseline, verdict.label, 'text-anchor="end"'));
      const color = verdict.reached ? COLORS.ours : COLORS.missed;
      const width = Math.max(0, x(verdict.share) - LEFT).toFixed(1);
      body.push(`<rect x="${LEFT}" y="${y + 4}" width="${width}" height="${LINE - 7}" fill="${color}"/>`);
      const words = `${figure(verdict.value, verdict.unit)} (${verdict.relation} ${limit(verdict.limit, verdict.unit)})`;
      body.push(text(RIGHT + 8, baseline, words));
      y += LINE;
    }
    y += 6;
  }
  for (let share = 0; share <= scale; share += 0.25) {
    lines.push(vertical(x(share), top + TITLE - 4, y, COLORS.grid, 1));
    lines.push(text(x(share), top + TITLE - 8, `${share * 100} %`, `text-anchor="middle" ${FAINT}`));
  }
  return { lines: [...lines, ...body, vertical(x(1), top + TITLE - 4, y, COLORS.limit, 2)], height: y - top };
}

/** @param {number} top @param {readonly Side[]} sides @param {Results} results @returns {Panel} */
function timesPanel(top, sides, results) {
  const all = sides.flatMap(({ id }) => values(results, id, 'wall'));
  const low = Math.log10(Math.min(...all) * 0.9);
  const high = Math.log10(Math.max(...all) * 1.1);
  const x = (/** @type {number} */ value) =>
    LEFT + ((Math.log10(value) - low) / (high - low)) * (RIGHT - LEFT);
  const lines = heading(
    top,
    'Wall time',
    'seconds, logarithmic; a dot is a run, the stroke and the number are the median; blue is qcow2c',
  );
  let y = top + TITLE;
  const body = [];
  for (const [n, { id, corpus, label }] of sides.entries()) {
    if (n > 0 && sides[n - 1].corpus !== corpus) y += 6;
    const color = label.startsWith('qcow2c') ? COLORS.ours : COLORS.other;
    const wall = values(results, id, 'wall');
    const middle = y + LINE / 2;
    body.push(text(LEFT - 8, y + 14, `${corpus}: ${label}`.replaceAll(' convert', ''), 'text-anchor="end"'));
    for (const value of wall) {
      body.push(
        `<circle cx="${x(value).toFixed(1)}" cy="${middle}" r="4" fill="${color}" fill-opacity="0.45"/>`,
      );
    }
    body.push(vertical(x(median(wall)), y + 2, y + LINE - 2, color, 3));
    body.push(text(RIGHT + 8, y + 14, seconds(median(wall))));
    y += LINE;
  }
  for (let decade = Math.floor(low); decade <= high; decade++) {
    for (const step of [1, 2, 5]) {
      const value = step * 10 ** decade;
      if (Math.log10(value) < low || Math.log10(value) > high) continue;
      lines.push(vertical(x(value), top + TITLE - 4, y, COLORS.grid, 1));
      const label = `${Number(value.toPrecision(1))} s`;
      lines.push(text(x(value), top + TITLE - 8, label, `text-anchor="middle" ${FAINT}`));
    }
  }
  return { lines: [...lines, ...body], height: y - top };
}

/**
 * @param {readonly Judged[]} judged @param {readonly Side[]} sides @param {Results} results
 * @returns {string} the SVG file
 */
export function svg(judged, sides, results) {
  const bars = barsPanel(10, judged);
  const times = timesPanel(10 + bars.height + 20, sides, results);
  const height = 10 + bars.height + 20 + times.height + 20;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" font-family="sans-serif" font-size="12" fill="#1d2530"><title>qcow2c side by side with qemu-img</title>`,
    `<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>`,
    ...bars.lines,
    ...times.lines,
    '</svg>',
    '',
  ].join('\n');
}
