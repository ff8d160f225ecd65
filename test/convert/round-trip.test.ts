import { readFile, writeFile } from 'node:fs/promises';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { expectGoodImage } from '../e2e/judge.js';
import { useScratch } from '../e2e/scratch.js';
import { tries } from '../stage.js';
import { convertHere } from './built-worker.js';
import { diskOf, geometries, stretches } from './generated-disks.js';

const path = useScratch();
test('any disk in any geometry is read back byte for byte, by qcow2c and by qemu-img', async () => {
  const [raw, first, second, back] = ['disk.raw', 'first.qcow2', 'second.qcow2', 'back.raw'].map((name) =>
    path(name),
  ) as [string, string, string, string];
  await fc.assert(
    fc.asyncProperty(stretches, geometries, geometries, async (list, one, other) => {
      const disk = diskOf(list);
      await writeFile(raw, disk);
      await convertHere({ sources: [raw], sourceFormat: 'raw', target: first, threads: 2, ...one });
      await expectGoodImage(first, raw);
      // From one geometry into another: payloads are copied where these agree, and inflated elsewhere.
      await convertHere({ sources: [first], sourceFormat: 'qcow2', target: second, threads: 2, ...other });
      await expectGoodImage(second, raw);
      await convertHere({ sources: [second], sourceFormat: 'qcow2', target: back, targetFormat: 'raw' });
      expect((await readFile(back)).equals(disk)).toBe(true);
    }),
    { numRuns: tries(25) },
  );
});

test('any overlay over any other disk reads as its source', async () => {
  const [raw, base, overlay, back] = ['disk.raw', 'base.raw', 'overlay.qcow2', 'back.raw'].map((name) =>
    path(name),
  ) as [string, string, string, string];
  const edits = fc.array(fc.tuple(fc.nat(2_000_000), fc.nat(200_000), fc.nat(255)), { maxLength: 5 });
  await fc.assert(
    fc.asyncProperty(stretches, edits, fc.nat(3000), geometries, async (list, changes, sectors, one) => {
      const disk = diskOf(list);
      const below = Buffer.alloc(sectors * 512);
      disk.copy(below);
      for (const [at, length, byte] of changes) below.subarray(at, at + length).fill(byte);
      await writeFile(raw, disk);
      await writeFile(base, below);
      const create = {
        ...one.create,
        preallocation: 'off',
        backingFile: base,
        backingFormat: 'raw',
      } as const;
      await convertHere({ ...one, sources: [raw], sourceFormat: 'raw', target: overlay, create, threads: 2 });
      await expectGoodImage(overlay, raw);
      await convertHere({ sources: [overlay], sourceFormat: 'qcow2', target: back, targetFormat: 'raw' });
      expect((await readFile(back)).equals(disk)).toBe(true);
    }),
    { numRuns: tries(20) },
  );
});
