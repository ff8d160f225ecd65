/** Clusters of content that is rare on a system's disk, and the levels of deflate and zstd that each takes. */
import { CLUSTER, joined, randomBytes } from './samples.js';

const noise = randomBytes(8 * CLUSTER);
const repeated = (line: string) => Buffer.alloc(CLUSTER, line);
const bytesOf = (numbers: { readonly buffer: ArrayBuffer }) => new Uint8Array(numbers.buffer);

/** Of 35 bytes, the last seven of which are addresses, counters and sums. */
const HEADER = Buffer.from('45000034450040004006000000060001c0a80007c1bb009a801081f5', 'hex');
const headers = Uint8Array.from({ length: CLUSTER }, (_, at) => {
  const column = at % 35;
  return column < HEADER.length && column % 9 !== 4 ? HEADER[column]! : noise[at]! & 0x7f;
});

/** Numbers of 34 bits, stored in 64. */
const identifiers = Uint8Array.from({ length: CLUSTER }, (_, at) =>
  at % 8 < 4 ? noise[at]! : at % 8 === 4 ? noise[at]! & 3 : 0,
);

/** Temperatures, with two decimal places. */
const rounded = bytesOf(
  Float64Array.from(
    { length: CLUSTER / 8 },
    (_, at) => Math.round(6000 * Math.sin(at / 911) + 2000 * Math.sin(at / 37) + noise[at]!) / 100,
  ),
);

/** Six loudspeakers, each louder than the one before. */
const channels = bytesOf(
  Int16Array.from(
    { length: CLUSTER / 2 },
    (_, at) => 500 * Math.sin(at / 911) * ((at % 6) + 1) + noise[at]! * 1.5 - 160,
  ),
);

/** A left channel that equals the right one. */
const twice = bytesOf(
  Float32Array.from(
    { length: CLUSTER / 4 },
    (_, at) => Math.round(3000 * Math.sin((at >> 1) / 60) + noise[at >> 1]!) / 32_768,
  ),
);

/** A number in digits, a name and a pointer in each cell of 32 bytes. */
const memory = Uint8Array.from({ length: CLUSTER }, (_, at) => {
  const column = at % 32;
  if (column < 5) return 0x30 + (noise[at]! % 10);
  if (column < 8) return 0x61 + (noise[at]! % 8);
  if (column === 21) return 0x55;
  return column >= 16 && column < 18 ? noise[at]! : 0;
});

const WORDS = 'Straße Bürgermeister Wasser Übergang schwierig Fahrrad Märchen Vogel'.split(' ');
const words = Buffer.from(
  Array.from(
    { length: CLUSTER / 8 },
    (_, at) => `${WORDS[noise[at]! % 8]}/${'EPSAN'[noise[at + 1]! % 5]}\n`,
  ).join(''),
  'latin1',
).subarray(0, CLUSTER);

/** Places on a map: longitudes and latitudes. */
const coordinates = bytesOf(
  Float64Array.from(
    { length: CLUSTER / 8 },
    (_, at) =>
      (noise[at + 3]! & 1 ? 1 : -1) * (noise[at]! / 3 + noise[at + CLUSTER]! / 1e5 + noise[at + 9]! / 1e9),
  ),
);

/** A place of 3 times 32 bits, a time, and what was measured. */
const MEASURED = Buffer.from('000207c3d1d4f89ae0', 'hex');
const points = Uint8Array.from({ length: CLUSTER }, (_, at) => {
  const column = at % 25;
  if (column < 12) return [noise[at]!, noise[at]!, 4 + (at >> 12), 0][column & 3]!;
  return column < 16 ? noise[at]! : MEASURED[column - 16]!;
});

/** Names of 12 to 15 letters, and a number, two lengths and a type before each. */
const directories = joined(
  ...Array.from({ length: CLUSTER / 16 }, (_, n) =>
    joined(
      Buffer.from([n & 127, n >> 7, 0, 0, 28, 0, 18, 1]),
      noise.subarray(n, n + 12 + (noise[n]! % 4)).map((byte) => 0x61 + (byte >> 4) + (byte & 7)),
    ),
  ),
).subarray(0, CLUSTER);

/** Of 24 bytes: a random key and the number of a row. */
const keys = Uint8Array.from({ length: CLUSTER }, (_, at) => {
  const row = Math.floor(at / 24);
  return at % 24 < 16 ? noise[at]! : ([0, 0, row >> 8, row & 255][(at % 24) - 16] ?? 0);
});

/** Names and numbers of persons, in capitals. */
const ebcdic = Uint8Array.from({ length: CLUSTER }, (_, at) => {
  const column = at % 50;
  if (column < 8) return 0xf0 + (noise[at]! % 10);
  return column < 20 || (column > 28 && column < 38) ? 0xc1 + (noise[at]! % 9) : 0x40;
});

/** One to seven equal bytes in a row, of every value. */
const shortRuns = joined(
  ...Array.from({ length: CLUSTER / 2 }, (_, n) =>
    new Uint8Array(1 + (noise[n]! % 7)).fill(noise[n + CLUSTER]!),
  ),
).subarray(0, CLUSTER);

/** As a map of depths has them: neighbours differ in the last bits. */
const depths = bytesOf(
  Float32Array.from({ length: CLUSTER / 4 }, (_, at) => -40 - Math.sin(at / 3000) - (noise[at]! % 16) / 2048),
);

/** Every other byte has few values. */
const packed = noise.subarray(0, CLUSTER).map((byte, at) => (at % 2 === 0 ? byte : byte & 0xc7));

const letters = joined(
  noise.subarray(0, 46_000).map((byte) => 0x41 + (byte & 31)),
  randomBytes(CLUSTER - 46_000),
);

/** Three bytes a pixel, of which some are lighter. */
const COLOURS = [0, 60, 120, 180, 0, 70, 140, 210, 0, 80, 160, 240];
const fewColours = Uint8Array.from(
  { length: CLUSTER },
  (_, at) => COLOURS[(at % 3) * 4 + (noise[Math.floor(at / 24)]! & 3)]! + (noise[at]! > 250 ? 12 : 0),
);

/** Red, green, blue and opacity; neighbours are alike. */
const transparent = Uint8Array.from({ length: CLUSTER }, (_, at) =>
  at % 4 === 3 ? 255 : 90 + (noise[(at >> 6) * 4 + (at & 3)]! & 127),
);

/** A name of ten letters, a digit, and eight random bytes. */
const buffers = Uint8Array.from({ length: CLUSTER }, (_, at) => {
  const column = at % 19;
  if (column < 10) return 0x41 + (noise[at]! % 24);
  return column === 10 ? 0x30 + (noise[at]! % 10) : noise[at]!;
});

/** Nine of ten pixels are black. */
const digits = noise
  .subarray(0, CLUSTER)
  .map((byte, at) => (noise[(at >> 2) + CLUSTER]! < 26 ? byte & 0x7f : 0));

export const RARE_CLUSTERS: readonly [content: string, cluster: Uint8Array, deflate: number, zstd: number][] =
  [
    ['headers of packets', headers, 6, 4],
    ['identifiers of 64 bits', identifiers, 7, 3],
    ['fractions that were rounded', rounded, 7, 2],
    ['sounds of six channels', channels, 5, 2],
    ['samples that occur twice', twice, 5, 3],
    ['numbers in the memory of a program', memory, 7, 3],
    ['words in Latin-1', words, 4, 3],
    [
      'indented XML',
      repeated(
        '        <field name="amount">4711.50</field>\n      <field name="state">paid</field>\n    </record>\n',
      ),
      7,
      3,
    ],
    [
      'a small mail, and zeros to the end of its block',
      joined(
        repeated('=C3=9Cbermorgen f=C3=A4hrt Zug 47 nach M=C3=BCnchen um 19 Uhr\n').subarray(0, 48_000),
        new Uint8Array(CLUSTER - 48_000),
      ),
      4,
      3,
    ],
    ['coordinates', coordinates, 4, 2],
    ['points of a scan', points, 4, 3],
    ['directories', directories, 4, 3],
    ['random keys', keys, 5, 3],
    ['EBCDIC', ebcdic, 4, 3],
    ['short runs', shortRuns, 5, 3],
    ['depths', depths, 4, 3],
    ['packed bits', packed, 1, 3],
    ['letters beside random bytes', letters, 4, 3],
    ['a picture of few colours', fewColours, 7, 4],
    ['an icon with transparency', transparent, 5, 4],
    ['protocol buffers', buffers, 4, 3],
    ['digits in white on black', digits, 5, 3],
  ];
