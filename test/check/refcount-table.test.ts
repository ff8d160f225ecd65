import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readCheckedImage } from '../../src/check/checked-image.js';
import type { Finding } from '../../src/check/findings.js';
import { ASK, RefcountReader, refcountTableEntries } from '../../src/check/refcount-table.js';
import { ioError } from '../../src/errors.js';
import { baseImage } from './corrupt-bases.js';
import { ImageBytes } from './corrupt-image-bytes.js';
import { SizedFile } from './sized-file.js';

async function readerOf(bytes: Buffer, findings: Finding[] = []) {
  const image = await readCheckedImage(new SizedFile(bytes));
  return new RefcountReader(image, (finding) => {
    findings.push(finding);
  });
}

describe.each([1, 2, 4, 8, 16, 32, 64])('refcounts of %d bits', (refcountBits) => {
  test('are read one by one and together as written', async () => {
    const image = new ImageBytes(await baseImage({ clusterSize: 4096, refcountBits }));
    const highest = Math.min(2 ** refcountBits - 1, 2 ** 32 - 2);
    const refcounts = fc.array(fc.nat(highest), { minLength: 64, maxLength: 64 });
    await fc.assert(
      fc.asyncProperty(refcounts, fc.nat(5), async (values, skipped) => {
        for (const [cluster, value] of values.entries()) image.setRefcount(cluster, value);
        const reader = await readerOf(image.bytes);
        const into = new Uint32Array(64 - skipped * 8);
        await reader.read(skipped * 8, into);
        expect([...into]).toEqual(values.slice(skipped * 8));
        const alone = await Promise.all([0, 1, 7, 33].map((cluster) => reader.refcountOf(cluster)));
        expect(alone).toEqual([0, 1, 7, 33].map((cluster) => ({ value: BigInt(values[cluster] as number) })));
      }),
      { numRuns: 20 },
    );
  });
});

test('refcounts that do not fit into 32 bits are read one by one', async () => {
  const image = new ImageBytes(await baseImage({ refcountBits: 64 }));
  image.setRefcount(3, 2 ** 40 + 5);
  const reader = await readerOf(image.bytes);
  const into = new Uint32Array(8);
  await reader.read(0, into);
  expect(into[3]).toBe(ASK);
  expect(await reader.refcountOf(3)).toEqual({ value: 2n ** 40n + 5n });
});

test('clusters without a refcount block, past the table or in a block past the file have refcount 0', async () => {
  const image = new ImageBytes(await baseImage({ clusterSize: 512 }));
  image.setU64(image.refcountTableEntryAt(3), 2n ** 55n);
  const reader = await readerOf(image.bytes);
  const into = new Uint32Array(8).fill(9);
  for (const cluster of [10 * 256, 3 * 256, 2 ** 45]) {
    await reader.read(cluster, into);
    expect([...into]).toEqual(Array(8).fill(0));
    expect(await reader.refcountOf(cluster)).toEqual({ value: 0n });
  }
});

test('an unaligned block is reported once, and its refcounts are unknown', async () => {
  const image = new ImageBytes(await baseImage({}));
  image.setU64(image.refcountTableEntryAt(0), 512n);
  const findings: Finding[] = [];
  const reader = await readerOf(image.bytes, findings);
  const into = new Uint32Array(8);
  await reader.read(0, into);
  expect([...into]).toEqual(Array(8).fill(ASK));
  expect(await reader.refcountOf(5)).toEqual({ reason: 'Input/output error' });
  expect(findings).toEqual([{ kind: 'refcount-block-unusable', index: 0, offset: 512n }]);
});

test('a block that cannot be read leaves its refcounts unknown', async () => {
  const image = new ImageBytes(await baseImage({}));
  const file = new SizedFile(image.bytes);
  const checked = await readCheckedImage(file);
  const block = image.refcountBlockOffset(0);
  const failing = {
    ...checked,
    file: {
      name: 'x.qcow2',
      size: file.size,
      read: async (offset: number, into: Uint8Array) => {
        const cause = Object.assign(new Error('EIO'), { code: 'EIO' });
        if (offset >= block && offset < block + 65536) throw ioError('Could not read', cause);
        return checked.file.read(offset, into);
      },
    },
  };
  const reader = new RefcountReader(failing, () => {});
  const into = new Uint32Array(8);
  await reader.read(0, into);
  expect([...into]).toEqual(Array(8).fill(ASK));
  expect(await reader.refcountOf(5)).toEqual({ reason: 'Input/output error' });
});

test('the entries of the table come with their offsets, those that are 0 are skipped', async () => {
  const image = new ImageBytes(await baseImage({ clusterSize: 512 }));
  image.setU64(image.refcountTableEntryAt(5), 2n ** 63n + 1n);
  const checked = await readCheckedImage(new SizedFile(image.bytes));
  const found = [];
  for await (const entry of refcountTableEntries(checked)) found.push(entry);
  expect(found.at(-1)).toEqual({
    index: 5,
    at: image.refcountTableEntryAt(5),
    entry: 2n ** 63n + 1n,
    offset: 2n ** 63n,
    hasReservedBits: true,
  });
  expect(found.map(({ index }) => index)).toEqual([...new Set(found.map(({ index }) => index))]);
  expect(found.length).toBeLessThan(64);
});
