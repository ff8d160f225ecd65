import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TableReader } from '../../src/qcow2/table-reader.js';
import { MemoryFile } from './memory-file.js';

const KiB = 1024;
const numbered = (length: number) => Uint8Array.from({ length }, (_, index) => index % 251);

describe('TableReader', () => {
  it('returns the bytes of the table in order, for any reads and skips', async () => {
    const file = new MemoryFile(numbered(300 * KiB));
    const steps = fc.array(fc.record({ length: fc.nat(64 * KiB), taken: fc.boolean() }), { maxLength: 3 });
    await fc.assert(
      fc.asyncProperty(fc.nat(50 * KiB), steps, async (offset, all) => {
        const reader = new TableReader(file, 'list', { offset, length: 250 * KiB });
        for (const { length, taken } of all) {
          const at = reader.offset;
          if (taken) {
            expect(Buffer.compare(await reader.take(length), file.bytes.subarray(at, at + length))).toBe(0);
          } else {
            reader.skip(length);
          }
          expect(reader.offset).toBe(at + length);
        }
      }),
    );
  });

  it('reads the file in pieces of 64 KiB, not past the table, and each piece once', async () => {
    const file = new MemoryFile(numbered(300 * KiB));
    const reader = new TableReader(file, 'list', { offset: 8, length: 160 * KiB });
    for (let taken = 0; taken < 160 * KiB; taken += 8) await reader.take(8);
    expect(file.reads).toEqual([
      { offset: 8, length: 64 * KiB },
      { offset: 8 + 64 * KiB, length: 64 * KiB },
      { offset: 8 + 128 * KiB, length: 32 * KiB },
    ]);
  });

  it('reports the offset where the file or the table ended too early', async () => {
    const file = new MemoryFile(numbered(100));
    const past = new TableReader(file, 'list', { offset: 64, length: 1000 });
    await past.take(32);
    await expect(past.take(8)).rejects.toMatchObject({
      code: 'ERR_CORRUPT',
      file: 'x.qcow2',
      offset: 96,
      expected: 104,
      found: 100,
      message:
        "The file ends inside an entry of the list in 'x.qcow2': 8 bytes were expected at offset 96, and it ends at 100",
    });
    const short = new TableReader(file, 'list', { offset: 64, length: 30 });
    await short.take(24);
    await expect(short.take(8)).rejects.toMatchObject({ code: 'ERR_CORRUPT', offset: 88, found: 94 });
    expect(() => short.skip(7)).toThrow(expect.objectContaining({ code: 'ERR_CORRUPT', offset: 88 }));
  });

  it('accepts only valid places of a table', () => {
    const reader = new TableReader(new MemoryFile(new Uint8Array(0)), 'list', { offset: 0, length: 0 });
    const offset = (value: bigint, length = 8) => reader.tableOffset('list_offset', 16, value, length, 4096);
    expect(offset(8192n)).toBe(8192);
    expect(offset(0n, 0)).toBe(0);
    for (const value of [0n, 1n, 8191n, 8192n + 512n, 2n ** 53n - 4096n, 2n ** 63n, 2n ** 64n - 4096n]) {
      const length = value === 2n ** 53n - 4096n ? 4096 : 8;
      expect(() => offset(value, length)).toThrow(
        expect.objectContaining({
          code: 'ERR_CORRUPT',
          file: 'x.qcow2',
          offset: 16,
          found: value.toString(),
        }),
      );
    }
  });
});
