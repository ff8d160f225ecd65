/** One address space in the picture: a heading, what the colours mean with how much there is of each, the cells. */
import { type Cells, COLUMNS } from '../../../map/cells.js';
import { binarySize } from './binary-size.js';
import { rectangle, shown, text } from './markup.js';
import { CELL_WIDTH, ROW_HEIGHT, type Share, strips } from './strips.js';
import { fitted, textWidth } from './text-width.js';

/** In the picture's units. */
export const PANEL_LEFT = 92;
export const PANEL_WIDTH = COLUMNS * CELL_WIDTH;
const LEGEND_COLUMNS = 4;
const LEGEND_WIDTH = PANEL_WIDTH / LEGEND_COLUMNS;
const LEGEND_HEIGHT = 37;
/** Of the line with the name of a file. */
const FILE_HEIGHT = 14;
/** Between what stands side by side. */
const GAP = 16;
const SWATCH = 13;
/** Wide enough for what a colour stands for. */
const MARKED_SWATCH = 22;
/** Offsets beside the rows, at most about this many. */
const ROW_LABELS = 8;
/** Offsets above the columns. */
const COLUMN_LABELS = 4;

export interface LegendEntry {
  /** One, or a scale of several, each with what it stands for. */
  readonly colours: readonly string[];
  readonly marks?: readonly string[];
  readonly label: string;
  /** How much there is of it. */
  readonly amount: string;
  /** The name of the file that it is in, of any length. */
  readonly file?: string | undefined;
}

export interface Panel {
  readonly title: string;
  readonly cells: Cells<string>;
  readonly sharesOf: (cell: number) => readonly Share[];
  readonly legend: readonly LegendEntry[];
}

/** @returns the elements, and where the next thing may begin */
export function drawPanel(
  { title, cells, sharesOf, legend }: Panel,
  top: number,
): { svg: string; bottom: number } {
  const { cellSize, count } = cells;
  const scale = `one cell is ${binarySize(cellSize)}, a row ${binarySize(COLUMNS * cellSize)}`;
  const roomForTitle = PANEL_WIDTH - textWidth(scale, 'scale') - GAP;
  const heading = text(PANEL_LEFT, top + 14, 'heading', fitted(shown(title), roomForTitle, 'heading'));
  if (count === 0) {
    return {
      svg: heading + text(PANEL_LEFT, top + 38, 'label', 'There is nothing in it.'),
      bottom: top + 50,
    };
  }
  const right = PANEL_LEFT + PANEL_WIDTH;
  const drawn = drawLegend(legend, top + 28);
  const cellsTop = drawn.bottom + 22;
  const rows = Math.ceil(count / COLUMNS);
  return {
    svg: [
      heading,
      text(right, top + 14, 'scale end', scale),
      drawn.svg,
      columnLabels(cells, cellsTop),
      rowLabels(cells, rows, cellsTop),
      `<g shape-rendering="crispEdges">\n${strips(count, sharesOf, PANEL_LEFT, cellsTop)}</g>\n`,
    ].join(''),
    bottom: cellsTop + rows * ROW_HEIGHT,
  };
}

function drawLegend(legend: readonly LegendEntry[], top: number): { svg: string; bottom: number } {
  let svg = '';
  let bottom = top;
  for (let first = 0; first < legend.length; first += LEGEND_COLUMNS) {
    const row = legend.slice(first, first + LEGEND_COLUMNS);
    for (const [column, entry] of row.entries()) {
      svg += drawEntry(entry, PANEL_LEFT + column * LEGEND_WIDTH, bottom);
    }
    bottom += LEGEND_HEIGHT + (row.some(({ file }) => file !== undefined) ? FILE_HEIGHT : 0);
  }
  return { svg, bottom };
}

function drawEntry({ colours, marks = [], label, amount, file }: LegendEntry, x: number, y: number): string {
  const width = marks.length > 0 ? MARKED_SWATCH : SWATCH;
  const swatches = colours.map((colour, place) => {
    const left = x + place * width;
    // Light on the dark half of a scale.
    const kind = 2 * place < colours.length ? 'mark' : 'mark light';
    const mark = marks[place] === undefined ? '' : text(left + width / 2, y + 10, kind, marks[place]);
    return rectangle(left, y, width, SWATCH, colour) + mark;
  });
  const after = x + colours.length * width + 8;
  const below = marks.length > 0 ? x : after;
  const name =
    file === undefined
      ? ''
      : text(below, y + 40, 'amount', fitted(shown(file), x + LEGEND_WIDTH - GAP - below, 'amount'));
  return (
    swatches.join('') + text(after, y + 11, 'label', label) + text(below, y + 26, 'amount', amount) + name
  );
}

/** How far into a row the columns are. */
function columnLabels({ cellSize, count }: Cells<string>, top: number): string {
  const step = COLUMNS / COLUMN_LABELS;
  const shown = Math.min(COLUMN_LABELS, Math.ceil(count / step));
  return Array.from({ length: shown }, (_, index) => {
    const x = PANEL_LEFT + index * step * CELL_WIDTH;
    const label = index === 0 ? '0' : `+${binarySize(index * step * cellSize)}`;
    return text(x + 3, top - 6, 'scale', label) + rectangle(x, top - 14, 0.75, 12, '#8a929c');
  }).join('');
}

/** Where rows begin. */
function rowLabels({ from, cellSize }: Cells<string>, rows: number, top: number): string {
  let step = 1;
  while (rows / step > ROW_LABELS) step *= 2;
  const labels: string[] = [];
  for (let row = 0; row < rows; row += step) {
    const offset = binarySize(from + row * COLUMNS * cellSize);
    labels.push(text(PANEL_LEFT - 9, top + row * ROW_HEIGHT + 10, 'scale end', offset));
  }
  return labels.join('');
}
