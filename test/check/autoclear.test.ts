/** Unknown autoclear bits: the specification requires a program to clear them before it writes. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type RepairMode, repairImage } from '../../src/check/repair.js';
import { RepairFile } from '../../src/check/repair-file.js';
import { HEADER, ImageBytes } from './corrupt-image-bytes.js';
import { CORRUPT_IMAGES } from './corrupt-images.js';
import { HistoryFile } from './power-history.js';

/** Bits 0 (bitmaps) and 1 (raw external data) are known. */
const UNKNOWN = (2n ** 64n - 1n) & ~3n;

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'qcow2c-autoclear-'));
});
afterAll(() => rm(directory, { recursive: true }));

async function repaired(bytes: Buffer, mode: RepairMode): Promise<HistoryFile> {
  const file = new HistoryFile(bytes);
  await repairImage(new RepairFile(file, bytes.length), mode);
  return file;
}

/** One for each kind of change by a repair, and the modes that make it. */
const REPAIRED = {
  'refcounts/leaked cluster': ['leaks', 'all'],
  'refcounts/corrupt and leaked': ['leaks', 'all'],
  'refcounts/refcount table of zeros': ['all'],
  'copied/missing for a data cluster': ['leaks', 'all'],
  'copied/set for a compressed cluster': ['all'],
  'L2/zero cluster unaligned': ['all'],
  'flags/dirty': ['leaks', 'all'],
  'snapshots/no extra data': ['all'],
} as const;

test.each(Object.entries(REPAIRED))('unknown bits are cleared durably before: %s', async (name, modes) => {
  const path = join(directory, 'image.qcow2');
  const corrupt = CORRUPT_IMAGES.find((image) => image.name === name);
  await corrupt?.make(path);
  const image = new ImageBytes(await readFile(path));
  image.setU64(HEADER.autoclear, UNKNOWN);
  for (const mode of modes) {
    const { steps, bytes } = await repaired(image.bytes, mode);
    expect(new ImageBytes(bytes).u64(HEADER.autoclear)).toBe(0n);
    expect(steps[0]).toMatchObject({ offset: 0, bytes: { length: 512 } });
    expect(steps[1]).toBe('sync');
    expect(steps.length).toBeGreaterThan(2);
  }
});

test('the known bit of bitmaps stays', async () => {
  const path = join(directory, 'bitmaps.qcow2');
  await CORRUPT_IMAGES.find(({ name }) => name === 'bitmaps/bits leaked')?.make(path);
  const image = new ImageBytes(await readFile(path));
  image.edit(HEADER.autoclear, (bits) => bits | UNKNOWN);
  const { steps, bytes } = await repaired(image.bytes, 'leaks');
  expect(steps.length).toBeGreaterThan(2);
  expect(new ImageBytes(bytes).u64(HEADER.autoclear)).toBe(1n);
});
