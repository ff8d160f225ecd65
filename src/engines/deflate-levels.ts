/** The level of deflate that a cluster needs. docs/engines.md has the measurements. */
import {
  below,
  chooser,
  DATABASE,
  DENSE,
  from,
  NOT_DENSE,
  type Ranges,
  RUNS,
  type Rule,
  SHORT_RUNS,
  WIDE_TEXT,
} from './content-rule.js';

/** libdeflate's levels in use. 0 stands for the fastest there is: ISA-L, or level 1. */
export const DEFLATE_LEVELS = [0, 1, 4, 5, 6, 7] as const;

type DeflateLevel = (typeof DEFLATE_LEVELS)[number];

const CODE: Ranges = { collision: [0.013, 0.0325], high: below(0.405), digits: below(0.06) };
const LARGE_NUMBERS: Ranges = { collision: from(0.017), high: from(0.38), repeats4: below(0.03) };
const NO_TEXT: Ranges = { collision: NOT_DENSE, printable: below(0.9), zeros: below(0.38) };
/** Zeros fill up the last blocks of small files. */
const TEXT_AND_ZEROS: Ranges = { zeros: below(0.38), printableOrZero: from(0.97) };
const TEXT: Ranges = { printable: from(0.97) };

/** The first that fits counts. */
const RULES: readonly Rule<DeflateLevel>[] = [
  // Random keys: a search finds short repeats in them, which take more bits than their digits do.
  ['hashes in a database', 1, { ...DATABASE, digits: [0.38, 0.55], distinct: below(100) }],
  // Of few different words.
  ['rows of text and numbers', 6, { ...DATABASE, printable: from(0.7), digits: [0.04, 0.2] }],
  ['rows of a database', 5, DATABASE],
  ['numbers in binary data', 7, { digits: from(0.09), high: from(0.1) }],
  // The bytes between the zeros are random.
  ['fractions', 7, { ...CODE, zeros: from(0.55), printable: below(0.2), highOfOthers: from(0.45) }],
  // Headers without data: each repeats most of the last one, at a distance.
  [
    'packets',
    6,
    {
      ...{ ...CODE, collision: [0.023, 0.0325], high: below(0.3), distinct: below(192) },
      ...{ zeros: [0.2, 0.35], printable: below(0.4), repeats4: from(0.1), repeats: below(-0.12) },
    },
  ],
  // Such as BSON.
  [
    'documents, numbers',
    6,
    { ...CODE, zeros: [0.2, 0.35], printable: from(0.4), high: below(0.2), repeats4: below(0.12) },
  ],
  ['identifiers', 7, { collision: DENSE, zeros: from(0.35), distinct: from(200), repeats4: below(0.015) }],
  ['tables of numbers', 5, { ...CODE, zeros: from(0.35), distinct: from(200) }],
  ['records with gaps', 5, { ...CODE, zeros: from(0.45), repeats: below(-0.1) }],
  // Fractions of 64 bits, such as prices: their digits repeat in places that differ.
  [
    'decimal fractions',
    7,
    {
      ...{ printable: [0.4, 0.9], zeros: below(0.1), high: [0.25, 0.46], distinct: below(160) },
      ...{ collision: [0.017, 0.075], repeats4: below(0.04) },
    },
  ],
  // Such as positions on a track.
  ['measured values', 5, { ...CODE, repeats4: below(0.015) }],
  // A quick search in the larger window finds more in them than qemu-img's longer one.
  ['instructions', 0, { ...CODE, high: [0.3, 0.405], distinct: below(186), digits: [0.014, 0.06] }],
  ['code that repeats', 0, { ...CODE, repeats: from(0.026), high: below(0.19) }],
  ['bytes between many zeros', 5, { ...CODE, zeros: from(0.85) }],
  ['machine code', 4, CODE],
  // Most samples equal the one before.
  ['heights, screens, maps', 7, { ...NO_TEXT, repeats: from(0.35), distinct: [2, 60] }],
  // Such as those of a bus.
  [
    'binary records',
    6,
    { ...NO_TEXT, zeros: [0.2, 0.38], high: from(0.2), printable: below(0.4), repeats4: below(0.15) },
  ],
  // Models: no search finds more than the codes of their bytes.
  [
    'bfloat16',
    0,
    {
      ...{ printable: below(0.9), zeros: below(0.01), high: [0.4, 0.6] },
      ...{ collision: [0.0325, 0.08], repeats4: [0.03, 0.13] },
    },
  ],
  [
    'points of a scan',
    4,
    {
      ...{ collision: [0.023, 0.0325], high: from(0.405), zeros: [0.13, 0.2], printable: below(0.3) },
      ...{ distinct: from(195) },
    },
  ],
  ['instructions and large numbers', 0, { ...LARGE_NUMBERS, zeros: from(0.13) }],
  // And numbers of 16 bits.
  ['sounds, pictures', 5, LARGE_NUMBERS],
  // Numbers in text hide the repeats that a quick search finds: the more so the fewer letters are between them, as in
  // tracks and variants of genes.
  [
    'text of numbers alone',
    7,
    { ...TEXT_AND_ZEROS, digits: from(0.15), collision: NOT_DENSE, distinct: [17, 40] },
  ],
  ['text full of numbers', 6, { ...TEXT_AND_ZEROS, digits: from(0.15), collision: NOT_DENSE }],
  // Such as the qualities of DNA reads.
  ['runs of a letter', 6, { ...TEXT, repeats4: from(0.3), collision: NOT_DENSE }],
  // Such as indented XML and reads of DNA: long strings repeat, and so do short ones that a quick search prefers.
  ['text of the same letters', 7, { ...TEXT, distinct: below(46), collision: [0.06, 0.15] }],
  // For random, compressed and encoded bytes no level gains much. What looks like them may be sounds or models.
  ['encoded bytes', 0, { collision: below(0.02), printable: from(0.9) }],
  ['dense records', 4, { collision: DENSE, zeros: from(0.3) }],
  ['random keys', 5, { collision: below(0.013), zeros: [0.18, 0.3], repeats: below(-0.12) }],
  ['samples of several channels', 5, { collision: DENSE, repeats4: from(0.15), printable: below(0.3) }],
  ['runs', 5, RUNS],
  ['short runs', 5, SHORT_RUNS],
  [
    'sounds of 8 bits',
    4,
    { collision: [0.02, 0.0325], zeros: below(0.02), printable: below(0.6), repeats4: from(0.05) },
  ],
  // Fractions of 64 bits near one another: two or three of their bytes repeat.
  [
    'coordinates',
    4,
    { collision: [0.01, 0.017], printable: [0.4, 0.6], zeros: below(0.03), repeats4: below(0.016) },
  ],
  [
    'sounds of many channels',
    5,
    {
      ...{ collision: [0.011, 0.025], high: from(0.4), zeros: [0.02, 0.065], repeats4: [0.01, 0.15] },
      ...{ distinct: from(218) },
    },
  ],
  ['models', 4, { collision: [0.006, 0.013], repeats4: below(0.01) }],
  ['models with repeats', 4, { collision: [0.006, 0.013], repeats4: from(0.045) }],
  // A block of them that comes again and again: ISA-L loses what is 32 KiB away. Without repeats they are not compressed.
  ['random bytes that repeat', 1, { collision: below(0.0052) }],
  // Such as protocol buffers.
  [
    'text between numbers',
    4,
    { collision: DENSE, printable: [0.5, 0.8], zeros: below(0.01), digits: from(0.04) },
  ],
  ['dense code', 0, { collision: [0.025, 0.0325], printable: below(0.78) }],
  ['text of all letters and digits', 4, { ...TEXT, collision: DENSE }],
  ['dense bytes', 1, { collision: DENSE }],
  ['numbers in memory', 7, { zeros: from(0.45), digits: from(0.09) }],
  // Their entries differ little: a quick search finds the repeats.
  [
    'tables of addresses',
    1,
    {
      zeros: from(0.45),
      distinct: from(40),
      repeats: below(-0.23),
      printable: below(0.15),
      repeats4: below(0.42),
    },
  ],
  ['tables of 64-bit numbers', 4, { zeros: from(0.45), distinct: from(40), repeats: below(-0.23) }],
  // A quick search misses what repeats among many zeros, most where the values are few.
  ['text and zeros', 4, { zeros: [0.38, 0.926], printableOrZero: from(0.93), repeats: from(-0.021) }],
  [
    'memory with gaps',
    0,
    { zeros: from(0.45), distinct: from(40), collision: [0.044, 0.124], digits: below(0.01) },
  ],
  ['memory', 6, { zeros: from(0.45), distinct: from(40) }],
  ['tables of many values', 5, { zeros: from(0.38), distinct: from(95) }],
  ['tables of small numbers', 0, { zeros: from(0.38), repeats: below(-0.052), printable: from(0.01) }],
  ['tables of few values', 7, { zeros: from(0.38) }],
  ['Chinese in UTF-16', 5, WIDE_TEXT],
  // Most pixels equal the one before.
  ['pictures with transparency', 5, { high: from(0.3), repeats: from(0.6), distinct: from(3) }],
  // Such as bitmaps, and a sound in two equal channels.
  [
    'repeated samples',
    5,
    { ...NO_TEXT, zeros: [0.15, 0.38], high: from(0.25), repeats4: from(0.4), distinct: from(90) },
  ],
  // The names of files, with numbers and zeros between them.
  ['directories', 4, { printable: [0.48, 0.75], zeros: [0.12, 0.38], repeats: below(-0.08) }],
  ['word lists', 4, { printable: [0.9, 0.98], high: from(0.01), zeros: below(0.01), distinct: below(75) }],
  ['pictures of few colours', 7, { high: from(0.09), zeros: from(0.1), distinct: below(32) }],
  ['other instructions', 0, { high: from(0.09), repeats4: below(0.046), repeats: below(-0.034) }],
  ['other binary data', 4, { high: from(0.09) }],
  ['other binary data', 4, { printable: below(0.45) }],
  // With a few characters beyond ASCII, as in documentation.
  ['prose', 0, { printable: below(1), collision: below(0.054), repeats4: below(0.092) }],
  ['text of many letters', 1, { collision: below(0.044), digits: below(0.039) }],
  ['other text', 4, {}],
];

export const deflateLevel = chooser(RULES);
