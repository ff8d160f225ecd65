import { describe, expect, test } from 'vitest';
import { DISK_KINDS, FILE_KINDS, RATIO_COLOURS } from '../../../../src/cli/map/svg/palette.js';

type Vector = readonly [number, number, number];
type Matrix = readonly [Vector, Vector, Vector];

/** What colours become for eyes of each kind: Machado, Oliveira, Fernandes 2009, at full severity, linear RGB. */
const EYES: readonly (readonly [string, Matrix])[] = [
  [
    'all colours',
    [
      [1, 0, 0],
      [0, 1, 0],
      [0, 0, 1],
    ],
  ],
  [
    'no red',
    [
      [0.152286, 1.052583, -0.204868],
      [0.114503, 0.786281, 0.099216],
      [-0.003882, -0.048116, 1.051998],
    ],
  ],
  [
    'no green',
    [
      [0.367322, 0.860646, -0.227968],
      [0.280085, 0.672501, 0.047413],
      [-0.01182, 0.04294, 0.968881],
    ],
  ],
  [
    'no blue',
    [
      [1.255528, -0.076749, -0.178779],
      [-0.078411, 0.930809, 0.147602],
      [0.004733, 0.691367, 0.3039],
    ],
  ],
];
/** Linear RGB to CIE XYZ, relative to the white of D65. */
const XYZ: Matrix = [
  [0.4339, 0.3762, 0.1899],
  [0.2126, 0.7152, 0.0722],
  [0.0177, 0.1095, 0.8728],
];

function times(matrix: Matrix, [x, y, z]: Vector): Vector {
  const row = ([a, b, c]: Vector) => Math.min(1, Math.max(0, a * x + b * y + c * z));
  return [row(matrix[0]), row(matrix[1]), row(matrix[2])];
}

function linear(colour: string): Vector {
  const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((at) => {
    const value = Number.parseInt(colour.slice(at, at + 2), 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  });
  return [red, green, blue];
}

/** CIE 1976 L*a*b*: in it 2.3 is the smallest difference that is seen side by side. */
function lab(colour: string, eyes: Matrix): Vector {
  const [x, y, z] = times(XYZ, times(eyes, linear(colour))).map((value) =>
    value > 0.008856 ? Math.cbrt(value) : 7.787 * value + 16 / 116,
  ) as [number, number, number];
  return [116 * y - 16, 500 * (x - y), 200 * (y - z)];
}

const DISK = [...DISK_KINDS.map(([, { colour }]) => colour), ...RATIO_COLOURS];
const FILE = FILE_KINDS.map(([, { colour }]) => colour);

describe.each(EYES)('eyes that see %s', (_, eyes) => {
  test.each([
    ['disk', DISK],
    ['file', FILE],
  ])('distinguish all colours of the %s', (_panel, colours) => {
    const different = [...new Set(colours)];
    const pairs = different.flatMap((one, index) =>
      different.slice(index + 1).map((other) => {
        const [a, b] = [lab(one, eyes), lab(other, eyes)];
        return { pair: `${one} ${other}`, distance: Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]) };
      }),
    );
    expect(pairs.filter(({ distance }) => distance < 14)).toEqual([]);
  });
});
