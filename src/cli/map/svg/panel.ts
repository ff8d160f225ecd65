/** One address space in the picture: a heading, what the colours mean with how much there is of each, the cells. */
import { type Cells, COLUMNS } from '../../../map/cells.js';
import { binarySize } from './binary-size.js';
import { rectangle, text } from './markup.js';
import { CELL_WIDTH, ROW_HEIGHT, type Share, strips } from './strips.js';

/** In the picture's units. */
export const PANEL_LEFT = 92;
export const PANEL_WIDTH = COLUMNS * CELL_WIDTH;
const LEGEND_COLUMNS = 4;
const LEGEND_WIDTH = PANEL_WIDTH / LEGEND_COLUMNS;
const LEGEND_HEIGHT = 37;
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
  const heading = text(PANEL_LEFT, top + 14, 'heading', title);
  if (count === 0) {
    return {
      svg: heading + text(PANEL_LEFT, top + 38, 'label', 'There is nothing in it.'),
      bottom: top + 50,
    };
  }
  const scale = `one cell is ${binarySize(cellSize)}, a row ${binarySize(COLUMNS * cellSize)}`;
  const right = PANEL_LEFT + PANEL_WIDTH;
  const cellsTop = top + 28 + Math.ceil(legend.length / LEGEND_COLUMNS) * LEGEND_HEIGHT + 22;
  const rows = Math.ceil(count / COLUMNS);
  return {
    svg: [
      heading,
      text(right, top + 14, 'scale end', scale),
      ...legend.map((entry, index) => drawEntry(entry, index, top + 28)),
      columnLabels(cells, cellsTop),
      rowLabels(cells, rows, cellsTop),
      `<g shape-rendering="crispEdges">\n${strips(count, sharesOf, PANEL_LEFT, cellsTop)}</g>\n`,
    ].join(''),
    bottom: cellsTop + rows * ROW_HEIGHT,
  };
}

function drawEntry({ colours, marks = [], label, amount }: LegendEntry, index: number, top: number): string {
  const x = PANEL_LEFT + (index % LEGEND_COLUMNS) * LEGEND_WIDTH;
  const y = top + Math.floor(index / LEGEND_COLUMNS) * LEGEND_HEIGHT;
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
  return swatches.join('') + text(after, y + 11, 'label', label) + text(below, y + 26, 'amount', amount);
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
