import { readdirSync, readlinkSync, truncateSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ImageLayout } from '../../src/storage/image-layout.js';
import { useScratch } from '../e2e/scratch.js';
import { randomBytes } from '../e2e/source-images.js';
import { tries } from '../stage.js';

const path = useScratch();

/** The descriptors of files without a name in the scratch directory that this process has open. */
function unnamedDescriptors(): string[] {
  return readdirSync('/proc/self/fd').filter((descriptor) => nameOf(descriptor).startsWith(path('')));
}

function unnamedFiles(): string[] {
  return unnamedDescriptors().map(nameOf);
}

/** @returns '' for the descriptor of the listing itself, which is closed by now */
function nameOf(descriptor: string): string {
  try {
    return readlinkSync(`/proc/self/fd/${descriptor}`);
  } catch {
    return '';
  }
}

test('tables are read back as they were written, from memory and from the file', async () => {
  const tables = fc.array(fc.uint8Array({ maxLength: 300 }), { minLength: 1, maxLength: 8 });
  await fc.assert(
    fc.asyncProperty(tables, fc.nat(400), async (list, mostInMemory) => {
      await using layout = new ImageLayout(mostInMemory, path('.'));
      for (const [index, bytes] of list.entries()) await layout.addTables(index * 512, bytes);
      for (const [index, bytes] of list.entries()) {
        expect(await layout.tablesAt(index * 512)).toEqual(bytes);
      }
      expect(layout.tableWrites).toBe(list.length);
    }),
    { numRuns: tries(100) },
  );
});

test('memory holds no more than the limit; the file for the rest has no name and is closed', async () => {
  const bytes = Uint8Array.from(randomBytes(4096));
  {
    await using layout = new ImageLayout(10_000, path('.'));
    await layout.addTables(0, bytes);
    expect(unnamedFiles()).toEqual([]);
    for (let index = 1; index < 10; index += 1) await layout.addTables(index * 4096, bytes);
    expect(unnamedFiles()).toEqual([expect.stringContaining('(deleted)')]);
    expect(readdirSync(path('.'))).toEqual([]);
    expect(await layout.tablesAt(9 * 4096)).toEqual(bytes);
  }
  expect(unnamedFiles()).toEqual([]);
});

test('a table of a full disk takes less than three bytes an entry', async () => {
  const table = Buffer.alloc(65_536);
  let place = 2n ** 20n;
  for (let entry = 0; entry < 8192; entry += 1) {
    const length = BigInt(20_000 + ((entry * 7919) % 9000));
    const sectors = (place + length - 1n) / 512n - place / 512n;
    table.writeBigUInt64BE((1n << 62n) | (sectors << 54n) | place, entry * 8);
    place += length;
  }
  await using layout = new ImageLayout(3 * 8192, path('missing'));
  await layout.addTables(0, table);
  expect(await layout.tablesAt(0)).toEqual(Uint8Array.from(table));
});

test('parts come in the order of the file, and data that touch are one part', async () => {
  await using layout = new ImageLayout();
  layout.addData(8192, 4096);
  await layout.addTables(4096, new Uint8Array(4096));
  layout.addData(20_480, 4096);
  layout.addData(12_288, 4096);
  await layout.addTables(16_384, new Uint8Array(100));
  await layout.addTables(0, new Uint8Array(10));
  await layout.addTables(40_960, new Uint8Array(10));
  expect([...layout.parts()]).toEqual([
    { kind: 'tables', from: 0, to: 10 },
    { kind: 'tables', from: 4096, to: 8192 },
    { kind: 'data', from: 8192, to: 16_384 },
    { kind: 'tables', from: 16_384, to: 16_484 },
    { kind: 'data', from: 20_480, to: 24_576 },
    { kind: 'tables', from: 40_960, to: 40_970 },
  ]);
  expect([layout.holdsData(8192, 16_384), layout.holdsData(8192, 16_385)]).toEqual([true, false]);
  expect(await layout.tablesAt(8192)).toBeUndefined();
});

describe('an error of the kept tables', () => {
  test('names the directory in which no file can be created', async () => {
    await using layout = new ImageLayout(0, path('missing'));
    await expect(layout.addTables(0, new Uint8Array(8))).rejects.toMatchObject({
      code: 'ERR_IO',
      file: path('missing'),
      systemCode: 'ENOENT',
    });
  });

  test('names the directory whose file became shorter', async () => {
    await using layout = new ImageLayout(0, path('.'));
    await layout.addTables(0, Uint8Array.from(randomBytes(4096)));
    const [descriptor] = unnamedDescriptors();
    truncateSync(`/proc/self/fd/${descriptor}`, 10);
    await expect(layout.tablesAt(0)).rejects.toMatchObject({
      code: 'ERR_IO',
      file: path('.'),
      message: expect.stringMatching(/Could not read the tables back .*: only 10 of \d+ bytes are there/),
    });
  });

  test('is thrown for a table that is written twice', async () => {
    await using layout = new ImageLayout();
    await layout.addTables(0, new Uint8Array(8));
    await expect(layout.addTables(0, new Uint8Array(8))).rejects.toMatchObject({ code: 'ERR_INTERNAL' });
  });
});
