/** The level of zstd that a cluster needs. docs/engines.md has the measurements. */
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

/** libzstd's levels in use. QEMU's is 3. */
export const ZSTD_LEVELS = [2, 3, 4] as const;

type ZstdLevel = (typeof ZSTD_LEVELS)[number];

const FEW_REPEATS: Ranges = { collision: DENSE, repeats4: below(0.05) };

/** The first that fits counts. */
const RULES: readonly Rule<ZstdLevel>[] = [
  // Some need this level, for some a higher one is worse.
  ['rows of a database', 3, DATABASE],
  ['ASCII', 3, { high: below(0.0009) }],
  ['text', 3, { printable: from(0.9) }],
  ['numbers in text, a little binary data', 3, { printable: from(0.86), digits: from(0.25) }],
  ['other alphabets', 3, { high: from(0.7), repeats4: below(0.3), collision: NOT_DENSE }],
  ['EBCDIC', 3, { high: from(0.5), distinct: below(60), collision: from(0.1) }],
  // Such as Java classes.
  ['text between dense bytes', 3, { ...FEW_REPEATS, printable: from(0.4), zeros: from(0.03) }],
  ['text beside dense bytes', 3, { ...FEW_REPEATS, printable: from(0.7) }],
  // Such as bitcode, and the outlines of fonts.
  ['packed bits', 3, { ...FEW_REPEATS, collision: [0.008, 0.013], high: below(0.6) }],
  // No level gains much.
  ['random and compressed bytes', 2, FEW_REPEATS],
  // A higher level may be worse for these, down to the runs.
  ['records, memory, sparse tables', 3, { zeros: from(0.3) }],
  ['records of text', 3, { distinct: below(140), collision: from(0.3) }],
  ['Chinese in UTF-16', 3, WIDE_TEXT],
  ['runs', 3, RUNS],
  ['short runs', 3, SHORT_RUNS],
  // A higher level prefers repeats of four bytes, which cost more than the digits.
  ['records with numbers in text', 3, { digits: from(0.1) }],
  ['machine code, sounds', 3, { printable: below(0.2) }],
  // Such as heights, and addresses with places.
  ['tables of many values', 3, { collision: from(0.055), high: from(0.3), distinct: from(140) }],
  ['tables of few values', 4, { distinct: below(140) }],
  ['names and text beside numbers, with gaps', 3, { zeros: from(0.156) }],
  ['the same without gaps', 4, {}],
];

export const zstdLevel = chooser(RULES);
