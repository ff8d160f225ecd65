import { describe, expect, it } from 'vitest';
import { hostOffset } from '../../src/qcow2/addresses.js';
import { type SnapshotEntry, snapshotEntries, snapshotTableReader } from '../../src/qcow2/snapshot-entry.js';
import { MemoryFile } from './memory-file.js';

const TABLE = 512;

/** An entry with every field, and as much of the extra data as given. */
function entry(id: string, name: string, extraBytes: number): Buffer {
  const fixed = Buffer.alloc(40);
  fixed.writeBigUInt64BE(0x123400n, 0);
  fixed.writeUInt32BE(77, 8);
  fixed.writeUInt16BE(Buffer.byteLength(id), 12);
  fixed.writeUInt16BE(Buffer.byteLength(name), 14);
  fixed.writeUInt32BE(0xfffffffe, 16);
  fixed.writeUInt32BE(999_999_999, 20);
  fixed.writeBigUInt64BE(2n ** 64n - 3n, 24);
  fixed.writeUInt32BE(0xfffffffd, 32);
  fixed.writeUInt32BE(extraBytes, 36);
  const extra = Buffer.alloc(Math.max(24, extraBytes), 0xee);
  extra.writeBigUInt64BE(2n ** 40n, 0);
  extra.writeBigUInt64BE(2n ** 41n, 8);
  extra.writeBigUInt64BE(2n ** 63n, 16);
  const bytes = Buffer.concat([fixed, extra.subarray(0, extraBytes), Buffer.from(id + name)]);
  return Buffer.concat([bytes, Buffer.alloc((8 - (bytes.length % 8)) % 8)]);
}

async function entriesIn(...entries: readonly Buffer[]): Promise<SnapshotEntry[]> {
  const file = new MemoryFile(Buffer.concat([Buffer.alloc(TABLE), ...entries]));
  const image = { snapshotCount: entries.length, snapshotsOffset: hostOffset(TABLE) };
  const found: SnapshotEntry[] = [];
  for await (const one of snapshotEntries(snapshotTableReader(file, image), image)) found.push(one);
  return found;
}

describe('snapshotEntries', () => {
  it('returns every field of every entry', async () => {
    const first = entry('1', 'before the upgrade', 24);
    expect(await entriesIn(first, entry('2', '', 24))).toEqual([
      {
        offset: TABLE,
        length: 40 + 24 + 1 + 'before the upgrade'.length,
        id: '1',
        name: 'before the upgrade',
        l1Offset: 0x123400n,
        l1Entries: 77,
        dateSeconds: 0xfffffffe,
        dateNanoseconds: 999_999_999,
        vmClock: 2n ** 64n - 3n,
        vmStateSize: 2n ** 40n,
        diskSize: 2n ** 41n,
        icount: 2n ** 63n,
      },
      expect.objectContaining({ offset: TABLE + first.length, id: '2', name: '' }),
    ]);
  });

  it.each([
    [0, { vmStateSize: 0xfffffffdn, diskSize: undefined, icount: undefined }],
    [7, { vmStateSize: 0xfffffffdn, diskSize: undefined, icount: undefined }],
    [8, { vmStateSize: 2n ** 40n, diskSize: undefined, icount: undefined }],
    [16, { vmStateSize: 2n ** 40n, diskSize: 2n ** 41n, icount: undefined }],
    [23, { vmStateSize: 2n ** 40n, diskSize: 2n ** 41n, icount: undefined }],
    [1024, { vmStateSize: 2n ** 40n, diskSize: 2n ** 41n, icount: 2n ** 63n }],
  ])('decodes %d bytes of extra data', async (extraBytes, fields) => {
    expect(await entriesIn(entry('1', 'one', extraBytes), entry('2', 'two', extraBytes))).toMatchObject([
      { id: '1', name: 'one', ...fields },
      { id: '2', name: 'two', ...fields },
    ]);
  });

  it('treats an instruction count of -1 as absent, and 0 as a count', async () => {
    const counted = (icount: bigint) => {
      const bytes = entry('1', 'one', 24);
      bytes.writeBigUInt64BE(icount, 40 + 16);
      return bytes;
    };
    expect(await entriesIn(counted(2n ** 64n - 1n), counted(0n))).toMatchObject([
      { icount: undefined },
      { icount: 0n },
    ]);
  });

  it('refuses more extra data than QEMU does', async () => {
    await expect(entriesIn(entry('1', 'one', 1025))).rejects.toMatchObject({
      code: 'ERR_CORRUPT',
      offset: TABLE + 36,
      found: '1025',
    });
  });
});
