import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hostOffset } from '../../src/qcow2/addresses.js';
import { INCOMPATIBLE_EXTENDED_L2 } from '../../src/qcow2/features.js';
import { findSnapshot, type SnapshotSelector } from '../../src/qcow2/snapshot-table.js';
import { MemoryFile } from './memory-file.js';

const TABLE = 65536;

interface Entry {
  readonly id: string;
  readonly name: string;
  readonly l1Offset?: bigint;
  readonly l1Size?: number;
  /** The 32-bit field. */
  readonly vmStateSize?: number;
  readonly extra?: Buffer;
}

/** The extra data of version 3. */
function extraData(vmStateSize: bigint, diskSize: bigint, more = 0): Buffer {
  const bytes = Buffer.alloc(16 + more, 0xee);
  bytes.writeBigUInt64BE(vmStateSize, 0);
  bytes.writeBigUInt64BE(diskSize, 8);
  return bytes;
}

function encode({ id, name, l1Offset = 0x20000n, l1Size = 3, vmStateSize = 0, extra }: Entry): Buffer {
  const strings = Buffer.from(id + name);
  const extraBytes = extra ?? extraData(0n, 2n ** 30n);
  const fixed = Buffer.alloc(40);
  fixed.writeBigUInt64BE(l1Offset, 0);
  fixed.writeUInt32BE(l1Size, 8);
  fixed.writeUInt16BE(Buffer.byteLength(id), 12);
  fixed.writeUInt16BE(Buffer.byteLength(name), 14);
  fixed.writeUInt32BE(vmStateSize, 32);
  fixed.writeUInt32BE(extraBytes.length, 36);
  const entry = Buffer.concat([fixed, extraBytes, strings]);
  return Buffer.concat([entry, Buffer.alloc((8 - (entry.length % 8)) % 8)]);
}

function imageOf(entries: readonly Entry[]) {
  const file = new MemoryFile(Buffer.concat([Buffer.alloc(TABLE), ...entries.map(encode)]));
  const image = {
    clusterBits: 16,
    incompatibleFeatures: 0n,
    snapshotCount: entries.length,
    snapshotsOffset: hostOffset(TABLE),
  };
  return { file, image };
}

function find(entries: readonly Entry[], selector: SnapshotSelector) {
  const { file, image } = imageOf(entries);
  return findSnapshot(file, image, selector);
}

const entries: readonly Entry[] = [
  { id: '1', name: 'one', l1Size: 1 },
  { id: '2', name: '1', l1Size: 2 },
  { id: '3', name: '', l1Size: 3 },
  { id: '4', name: 'one', l1Size: 4 },
  { id: 'one', name: 'x', l1Size: 5 },
  { id: '6', name: 'x', l1Size: 6 },
];

describe('findSnapshot', () => {
  it.each<[string, SnapshotSelector, string]>([
    ['a word by identifier before any name', { idOrName: 'one' }, 'one'],
    ['a word that is an identifier and another name', { idOrName: '1' }, '1'],
    ['a word by name when no identifier fits, the first of several', { idOrName: 'x' }, 'one'],
    ['the empty name', { idOrName: '' }, '3'],
    ['an identifier', { id: '2' }, '2'],
    ['a name, the first of several', { name: 'one' }, '1'],
    ['the name that looks like an identifier', { name: '1' }, '2'],
    ['the empty name by name', { name: '' }, '3'],
    ['identifier and name together', { id: '4', name: 'one' }, '4'],
  ])('finds %s', async (_, selector, id) => {
    expect(await find(entries, selector)).toMatchObject({ id });
  });

  it.each<[SnapshotSelector, string]>([
    [{ idOrName: 'nosuch' }, "'nosuch'"],
    [{ id: 'x' }, "with identifier 'x'"],
    [{ name: '2' }, "with name '2'"],
    [{ id: '1', name: '1' }, "with identifier '1' and name '1'"],
    [{}, 'with neither identifier nor name'],
  ])('reports with the message of qemu-img that %j does not exist', async (selector, words) => {
    await expect(find(entries, selector)).rejects.toMatchObject({
      code: 'ERR_USAGE',
      file: 'x.qcow2',
      message: `Failed to load snapshot: Can't find snapshot ${words} in 'x.qcow2'`,
    });
  });

  it('finds every snapshot of any table', async () => {
    const entry = fc.record({
      name: fc.string({ unit: 'binary', maxLength: 40 }).filter((name) => !name.includes('\0')),
      l1Offset: fc.integer({ min: 1, max: 2 ** 36 }).map((cluster) => BigInt(cluster) * 65536n),
      l1Size: fc.nat(4 * 2 ** 20),
      extra: fc.oneof(
        fc.constantFrom(Buffer.alloc(0), Buffer.alloc(8), Buffer.alloc(13)),
        fc.nat(1008).map((more) => extraData(0n, 0n, more)),
      ),
    });
    const table = fc
      .array(entry, { minLength: 1, maxLength: 5 })
      .map((list) => list.map((one, index) => ({ ...one, id: `${10 ** index}` })));
    await fc.assert(
      fc.asyncProperty(table, fc.nat(), async (all, choice) => {
        const wanted = all[choice % all.length];
        expect(await find(all, { id: wanted?.id })).toEqual({
          id: wanted?.id,
          name: wanted?.name,
          l1Offset: Number(wanted?.l1Offset),
          l1Entries: wanted?.l1Size,
        });
      }),
      { numRuns: 50 },
    );
  });

  it('ends identifier and name at a NUL, as QEMU does', async () => {
    expect(await find([{ id: '7\0x', name: 'n\0m' }], { id: '7', name: 'n' })).toMatchObject({
      id: '7',
      name: 'n',
    });
  });

  it('does not treat the state of the virtual machine as part of the disk', async () => {
    const reach = 2 ** 29;
    const l1Entries = async (entry: Partial<Entry>, incompatibleFeatures = 0n) => {
      const { file, image } = imageOf([{ id: '1', name: '', l1Size: 9, ...entry }]);
      return (await findSnapshot(file, { ...image, incompatibleFeatures }, { id: '1' })).l1Entries;
    };
    expect(await l1Entries({ extra: extraData(1n, BigInt(3 * reach)) })).toBe(3);
    expect(await l1Entries({ extra: extraData(1n, BigInt(3 * reach + 512)) })).toBe(4);
    expect(await l1Entries({ extra: extraData(1n, BigInt(3 * reach)) }, INCOMPATIBLE_EXTENDED_L2)).toBe(6);
    expect(await l1Entries({ extra: extraData(1n, BigInt(30 * reach)) })).toBe(9);
    expect(await l1Entries({ extra: extraData(0n, BigInt(reach)) })).toBe(9);
    expect(await l1Entries({ vmStateSize: 1, extra: extraData(0n, BigInt(reach)) })).toBe(9);
    expect(await l1Entries({ vmStateSize: 1, extra: Buffer.alloc(0) })).toBe(9);
  });

  it.each<[string, Partial<Entry>, number]>([
    ['more extra data than QEMU takes', { extra: Buffer.alloc(1025) }, 36],
    ['an L1 table larger than QEMU opens', { l1Size: 4 * 2 ** 20 + 1 }, 8],
    ['an L1 table in the header', { l1Offset: 0n }, 0],
    ['an L1 table that is not aligned', { l1Offset: 512n }, 0],
    ['an L1 table past every file', { l1Offset: 2n ** 63n }, 0],
  ])('refuses %s', async (_, broken, at) => {
    const entry = { id: '1', name: 'one', ...broken };
    await expect(find([entry], { id: '1' })).rejects.toMatchObject({
      code: 'ERR_CORRUPT',
      file: 'x.qcow2',
      offset: TABLE + at,
    });
  });

  it('reads a valid snapshot from a table with a broken one', async () => {
    const broken = { id: '1', name: 'one', l1Offset: 512n };
    expect(await find([broken, { id: '2', name: 'two' }], { idOrName: 'two' })).toMatchObject({ id: '2' });
  });

  it('refuses a table outside the file', async () => {
    const { file, image } = imageOf(entries);
    for (let length = TABLE; length < file.length; length += 8) {
      const cut = new MemoryFile(file.bytes.subarray(0, length));
      await expect(findSnapshot(cut, image, { id: '6' })).rejects.toMatchObject({
        code: 'ERR_CORRUPT',
        found: length,
      });
    }
  });

  it("stops at QEMU's limit in a table of the longest names, in pieces of 64 KiB", async () => {
    const entry = encode({ id: '1'.repeat(65535), name: '2'.repeat(65535) });
    const file = new MemoryFile(Buffer.concat(Array.from({ length: 520 }, () => entry)));
    const image = {
      clusterBits: 9,
      incompatibleFeatures: 0n,
      snapshotCount: 65536,
      snapshotsOffset: hostOffset(0),
    };
    await expect(findSnapshot(file, image, { idOrName: 'x' })).rejects.toMatchObject({
      code: 'ERR_CORRUPT',
      found: 64 * 2 ** 20,
    });
    expect(Math.max(...file.reads.map(({ length }) => length))).toBe(65536);
  });
});
