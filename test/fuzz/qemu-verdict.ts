/**
 * Compares qemu-img's result for a mutant with qcow2c's: if both read an image they must see the same disk, and if one
 * of them refuses, the reason must be listed.
 */
import * as fs from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { UnreadableRange } from '../../src/workers/unreadable-range.js';
import { run } from '../oracle/run.js';
import { type DecodedBitmap, decodeImage } from '../qcow2/image-decoder.js';
import type { Outcome } from './library-run.js';
import type { Mutant } from './mutant.js';
import type { Place } from './workbench.js';

interface Verdict {
  readonly finding?: string;
  readonly excuse?: string;
}

interface Reason {
  /** The words of the refusal. */
  readonly words: RegExp;
  readonly reason: string;
  /** Default: any. */
  readonly of?: (mutant: Mutant) => boolean;
}

const withoutSnapshot = ({ read }: Mutant) => read === undefined;
const withoutBitmaps = ({ target }: Mutant) => target !== 'bitmaps';

/** Images that qemu-img refuses and qcow2c reads. */
const ONLY_QEMU_REFUSES: readonly Reason[] = [
  {
    words: /snapshot/i,
    of: withoutSnapshot,
    reason: 'snapshots are only looked at with -l; QEMU reads their table whenever it opens an image',
  },
  {
    words: /snapshot table/i,
    reason: 'only the snapshot that is read is checked; QEMU checks all of them',
  },
  {
    words: /bitmap/i,
    of: withoutBitmaps,
    reason:
      'bitmaps are only looked at with --bitmaps; QEMU reads their directory whenever it opens an image',
  },
  {
    words: /Bitmap '.*' doesn't satisfy the constraints/,
    of: ({ mutations }) => mutations.some(({ what }) => /^bitmap flags .* -> 0x[4-7]$/.test(what)),
    reason:
      'the specification has the flag that extra data is compatible (bit 2); QEMU takes it for a reserved one',
  },
  {
    words: /Header extension too large/,
    reason: 'the mark that ends the extensions has no length; QEMU checks it all the same',
  },
];

/** Images that qcow2c refuses and qemu-img reads. */
const ONLY_WE_REFUSE: readonly Reason[] = [
  { words: /which --isolated refuses$/, reason: 'names are not followed with --isolated' },
  {
    words: /its format was not stated/,
    reason: 'names are not followed if the format was probed',
  },
  {
    words:
      /header of .* has length \d+ at offset 0, expected at least|has a table past its end|^The file ends inside an entry|its data lies at offset \d+, past the end of/,
    reason:
      'QEMU reads zeros where the header, a table or a cluster lies past the end of the file; here that is a loss',
  },
  {
    words: /expected at most 90071992\d{8}/,
    reason: 'no file and no disk reaches 2^53 bytes',
  },
  {
    words: /has version [01] at offset 4, expected 2 or 3/,
    of: ({ trust }) => trust === 'guessed',
    reason: 'a file that begins like a qcow2 image is never a raw disk, for any version',
  },
  {
    words: /has header_length \d+ at offset 100, expected a multiple of 8/,
    reason: 'the specification wants a header length that is a multiple of 8; QEMU takes any',
  },
  { words: /expected UTF-8$/, reason: 'names are UTF-8' },
  {
    words: /a regular file or block device was expected/,
    reason: 'images are in regular files and on block devices',
  },
  {
    words: /yields more bytes than a cluster/,
    reason: 'a payload is exactly one cluster; QEMU is content with as much as it asked for',
  },
  {
    words: /_offset 0 at offset \d+, expected at least/,
    reason: 'no table lies where the header is',
  },
];

/** Larger raw disks are compared by qemu-img, which skips holes. */
const READ_WHOLE = 64 * 1024 * 1024;
const SECONDS = 5;

/** @param outcome of the mutant in qcow2c */
export async function qemuVerdict(mutant: Mutant, { image, out }: Place, outcome: Outcome): Promise<Verdict> {
  const theirs = join(out, 'theirs');
  const ours = join(out, 'ours');
  const withBitmaps = mutant.target === 'bitmaps';
  const { status, words } = await qemuImg(dirname(image), [
    'convert',
    ...(mutant.trust === 'guessed' ? [] : ['-f', 'qcow2']),
    ...(mutant.read === undefined ? [] : ['-l', mutant.read.word]),
    ...(mutant.salvage ? ['--salvage'] : []),
    ...(withBitmaps ? ['--bitmaps', ...(mutant.salvage ? ['--skip-broken-bitmaps'] : [])] : []),
    ...(withBitmaps ? ['-O', 'qcow2'] : ['-O', 'raw']),
    basename(image),
    theirs,
  ]);
  if (status === TIMEOUT) return { excuse: TOO_LONG };
  const { error, target, lost } = outcome;
  if (error !== undefined) {
    if (status !== 0) return {};
    return excused(ONLY_WE_REFUSE, mutant, error.message, `refused, but qemu-img reads it: ${error.message}`);
  }
  if (status !== 0) return excused(ONLY_QEMU_REFUSES, mutant, words, `read, but qemu-img refuses: ${words}`);
  if (mutant.target === 'raw') return await compare(theirs, target, lost);
  const check = await qemuImg(out, ['check', '-q', '-f', 'qcow2', target]);
  if (check.status !== 0) return { finding: `the result is broken: ${check.words}` };
  const isRead = await qemuImg(out, ['convert', '-f', 'qcow2', '-O', 'raw', target, ours]);
  if (isRead.status !== 0) return { finding: `the result cannot be read: ${isRead.words}` };
  if (!withBitmaps) return await compare(theirs, ours, lost);
  const bitmaps = join(out, 'bitmaps');
  fs.renameSync(theirs, bitmaps);
  await qemuImg(out, ['convert', '-f', 'qcow2', '-O', 'raw', bitmaps, theirs]);
  const verdict = await compare(theirs, ours, lost);
  return verdict.finding === undefined ? compareBitmaps(bitmaps, target) : verdict;
}

/** Exit code of timeout. */
const TIMEOUT = 124;
const TOO_LONG = 'qemu-img took too long';

async function qemuImg(cwd: string, args: readonly string[]) {
  const { status, stdout, stderr, signal } = await run('timeout', [`${SECONDS}`, 'qemu-img', ...args], {
    cwd,
  });
  return { status: signal === null ? status : -1, words: `${stdout}${stderr}${signal ?? ''}`.trim() };
}

function excused(reasons: readonly Reason[], mutant: Mutant, words: string, finding: string): Verdict {
  const found = reasons.find(
    ({ words: pattern, of }) => pattern.test(words) && (of === undefined || of(mutant)),
  );
  return found === undefined ? { finding } : { excuse: found.reason };
}

/** @param lost parts of the disk whose content is unknown; the results may differ there */
async function compare(theirs: string, ours: string, lost: readonly UnreadableRange[]): Promise<Verdict> {
  const [expected, found] = [fs.statSync(theirs).size, fs.statSync(ours).size];
  if (expected !== found) return { finding: `${found} bytes, but qemu-img has ${expected}` };
  if (expected > READ_WHOLE) {
    const { status, words } = await qemuImg(dirname(ours), [
      'compare',
      '-f',
      'raw',
      '-F',
      'raw',
      theirs,
      ours,
    ]);
    if (status === TIMEOUT) return { excuse: TOO_LONG };
    if (lost.length > 0) return { excuse: 'a large disk with losses' };
    return status === 0 ? {} : { finding: `another disk than qemu-img's: ${words}` };
  }
  const [a, b] = [fs.readFileSync(theirs), fs.readFileSync(ours)];
  for (const bytes of [a, b]) {
    for (const { guestOffset, length } of lost) bytes.fill(0, guestOffset, guestOffset + length);
  }
  if (a.equals(b)) return {};
  const at = a.findIndex((byte, index) => byte !== b[index]);
  return { finding: `another disk than qemu-img's from offset ${at} on: ${b[at]} instead of ${a[at]}` };
}

function compareBitmaps(theirs: string, ours: string): Verdict {
  const [expected, found] = [theirs, ours].map((path) => {
    const { bitmaps, virtualSize } = decodeImage(fs.readFileSync(path));
    return JSON.stringify(bitmaps.map((bitmap) => described(bitmap, virtualSize)));
  });
  return expected === found
    ? {}
    : { finding: `other bitmaps than qemu-img's: ${found} instead of ${expected}` };
}

/** Without the bytes past the disk's end: the rest of the cluster, which is not always zeros in QEMU. */
function described({ name, granularityBits, auto, bits }: DecodedBitmap, virtualSize: number) {
  const count = Math.ceil(virtualSize / 2 ** granularityBits);
  const used = Buffer.from(bits.subarray(0, Math.ceil(count / 8)));
  if (count % 8 !== 0) used.writeUInt8(used.readUInt8(used.length - 1) % 2 ** (count % 8), used.length - 1);
  return { name, granularityBits, auto, bits: used.toString('hex') };
}
