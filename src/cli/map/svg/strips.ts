/**
 * Draws cells as rows of small columns. Each column is filled from below with the colours of the cell's kinds, in
 * proportion to their shares. A share that is too small to see gets the smallest visible height.
 */
import { COLUMNS } from '../../../map/cells.js';

/** All lengths are in the picture's units: pixels at its original size. */
export const CELL_WIDTH = 7;
export const CELL_HEIGHT = 12;
export const ROW_HEIGHT = 15;
/** Height of the smallest share. */
const LEAST_HEIGHT = 3;
/** Heights are multiples of this: equal neighbours become one rectangle. */
const STEP = 0.5;

/** The kinds in a cell, from below; amounts in any unit. */
export interface Share {
  readonly colour: string;
  readonly amount: number;
  /** Not stored; may be invisible. */
  readonly empty: boolean;
}

/** @param shares at least one above 0 @returns a height for each; the sum is the height of a cell */
export function heights(shares: readonly Pick<Share, 'amount' | 'empty'>[]): number[] {
  const whole = shares.reduce((sum, { amount }) => sum + amount, 0);
  const result = shares.map(({ amount, empty }) => {
    const height = Math.round(((amount / whole) * CELL_HEIGHT) / STEP) * STEP;
    return amount > 0 && !empty ? Math.max(LEAST_HEIGHT, height) : height;
  });
  // The largest share absorbs the rounding and the extra height of small ones.
  let left = CELL_HEIGHT - result.reduce((sum, height) => sum + height, 0);
  while (left !== 0) {
    const largest = result.indexOf(Math.max(...result));
    const change = left > 0 ? left : -STEP;
    result[largest] = (result[largest] ?? 0) + change;
    left -= change;
  }
  return result;
}

/** Part of a row in one colour. */
interface Rectangle {
  readonly colour: string;
  readonly x: number;
  readonly y: number;
  readonly height: number;
  width: number;
}

/**
 * @param count cells
 * @param sharesOf all kinds in a cell
 * @param left and `top`: the place of the first cell
 * @returns elements, one for each colour
 */
export function strips(
  count: number,
  sharesOf: (cell: number) => readonly Share[],
  left: number,
  top: number,
): string {
  const paths = new Map<string, string>();
  const draw = ({ colour, x, y, height, width }: Rectangle) => {
    paths.set(colour, `${paths.get(colour) ?? ''}M${x} ${y}h${width}v${height}h-${width}z`);
  };
  /** Rectangles of the previous cell, by appearance: the next cell may continue them. */
  let open = new Map<string, Rectangle>();
  for (let cell = 0; cell < count; cell += 1) {
    const column = cell % COLUMNS;
    const shares = sharesOf(cell);
    let y = top + Math.floor(cell / COLUMNS) * ROW_HEIGHT + CELL_HEIGHT;
    const here = new Map<string, Rectangle>();
    for (const [index, height] of heights(shares).entries()) {
      const colour = shares[index]?.colour;
      if (height === 0 || colour === undefined) continue;
      y -= height;
      const look = `${colour} ${y} ${height}`;
      const before = column === 0 ? undefined : open.get(look);
      const x = left + column * CELL_WIDTH;
      if (before !== undefined) open.delete(look);
      const rectangle = before ?? { colour, x, y, height, width: 0 };
      rectangle.width += CELL_WIDTH;
      here.set(look, rectangle);
    }
    for (const ended of open.values()) draw(ended);
    open = here;
  }
  for (const ended of open.values()) draw(ended);
  return [...paths].map(([colour, path]) => `<path fill="${colour}" d="${path}"/>\n`).join('');
}
