/** Draws one address space: a heading, a legend with the amount of each kind, and the cells. */
import { type Cells, COLUMNS } from '../../../map/cells.js';
import { binarySize } from './binary-size.js';
import { rectangle, shown, textElement } from './markup.js';
import { CELL_WIDTH, ROW_HEIGHT, type Share, strips } from './strips.js';
import { fitted, textWidth } from './text-width.js';

/** In the picture's units. */
export const PANEL_LEFT = 92;
export const PANEL_WIDTH = COLUMNS * CELL_WIDTH;
const LEGEND_COLUMNS = 4;
const LEGEND_WIDTH = PANEL_WIDTH / LEGEND_COLUMNS;
const LEGEND_HEIGHT = 37;
/** Height of the line with the name of a file. */
const FILE_HEIGHT = 14;
/** Gap between neighbours. */
const GAP = 16;
const SWATCH = 13;
/** Wide enough for the label of a colour. */
const MARKED_SWATCH = 22;
/** Maximum number of offsets beside the rows, about. */
const ROW_LABELS = 8;
/** Offsets above the columns. */
const COLUMN_LABELS = 4;

export interface LegendEntry {
  /** One colour, or a scale of several, each with its label. */
  readonly colours: readonly string[];
  readonly marks?: readonly string[];
  readonly label: string;
  /** The amount of it. */
  readonly amount: string;
  /** The name of the file with the data, of any length. */
  readonly file?: string | undefined;
}

export interface Panel {
  readonly title: string;
  readonly cells: Cells<string>;
  readonly sharesOf: (cell: number) => readonly Share[];
  readonly legend: readonly LegendEntry[];
}

/** @returns the elements, and the top of the next panel */
export function drawPanel(
  { title, cells, sharesOf, legend }: Panel,
  top: number,
): { svg: string; bottom: number } {
  const { cellSize, count } = cells;
  const scale = `one cell is ${binarySize(cellSize)}, a row ${binarySize(COLUMNS * cellSize)}`;
  const roomForTitle = PANEL_WIDTH - textWidth(scale, 'scale') - GAP;
  const heading = textElement(PANEL_LEFT, top + 14, 'heading', fitted(shown(title), roomForTitle, 'heading'));
  if (count === 0) {
    return {
      svg: heading + textElement(PANEL_LEFT, top + 38, 'label', 'Empty'),
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
      textElement(right, top + 14, 'scale end', scale),
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
    // Light text on the dark half of a scale.
    const kind = 2 * place < colours.length ? 'mark' : 'mark light';
    const mark = marks[place] === undefined ? '' : textElement(left + width / 2, y + 10, kind, marks[place]);
    return rectangle(left, y, width, SWATCH, colour) + mark;
  });
  const after = x + colours.length * width + 8;
  const below = marks.length > 0 ? x : after;
  const name =
    file === undefined
      ? ''
      : textElement(below, y + 40, 'amount', fitted(shown(file), x + LEGEND_WIDTH - GAP - below, 'amount'));
  return (
    swatches.join('') +
    textElement(after, y + 11, 'label', label) +
    textElement(below, y + 26, 'amount', amount) +
    name
  );
}

/** Offsets of the columns within a row. */
function columnLabels({ cellSize, count }: Cells<string>, top: number): string {
  const step = COLUMNS / COLUMN_LABELS;
  const shown = Math.min(COLUMN_LABELS, Math.ceil(count / step));
  return Array.from({ length: shown }, (_, index) => {
    const x = PANEL_LEFT + index * step * CELL_WIDTH;
    const label = index === 0 ? '0' : `+${binarySize(index * step * cellSize)}`;
    return textElement(x + 3, top - 6, 'scale', label) + rectangle(x, top - 14, 0.75, 12, '#8a929c');
  }).join('');
}

/** Offsets of the rows. */
function rowLabels({ from, cellSize }: Cells<string>, rows: number, top: number): string {
  let step = 1;
  while (rows / step > ROW_LABELS) step *= 2;
  const labels: string[] = [];
  for (let row = 0; row < rows; row += step) {
    const offset = binarySize(from + row * COLUMNS * cellSize);
    labels.push(textElement(PANEL_LEFT - 9, top + row * ROW_HEIGHT + 10, 'scale end', offset));
  }
  return labels.join('');
}
