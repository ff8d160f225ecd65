/** The calls of the raw writer to its storage: few, large and aligned writes, and holes instead of zeros. */
import { describe, expect, test } from 'vitest';
import { RawWriter } from '../../src/raw/raw-writer.js';
import { alignedMemory } from '../../src/system/aligned-memory.js';
import { stateOf, turn } from '../storage/promise-state.js';
import {
  expectSameBytes,
  payload,
  RecordingStorage,
  useRecordingStorage,
} from '../storage/recording-storage.js';

const BLOCK = 4096;
const MIB = 1024 * 1024;
const ITEM = 2 * MIB;
const newStorage = useRecordingStorage();
const NEW = { kind: 'new', existingSize: 0, isZero: false } as const;

const DATA = payload(ITEM);

function item(length = ITEM): Uint8Array {
  const memory = alignedMemory(length).subarray(0, length);
  memory.set(DATA.subarray(0, length));
  return memory;
}

const wrote = ({ writes }: ReturnType<typeof newStorage>) =>
  writes.map(({ offset, length }) => [offset, length]);

describe('the writes', () => {
  test('an item full of data is one write, straight from the caller’s memory', async () => {
    const storage = newStorage();
    const writer = new RawWriter(storage, 2 * ITEM, NEW);
    const bytes = item();
    await writer.write(0, bytes, Uint32Array.of(0, ITEM));
    expect(wrote(storage)).toEqual([[0, ITEM]]);
    const other = newStorage({ alignment: 1 });
    await other.write(0, [bytes]);
    expect(storage.writes[0]?.buffers).toEqual(other.writes[0]?.buffers);
  });

  test('runs are rounded outward to blocks, and runs that then touch are one write', async () => {
    const storage = newStorage();
    const writer = new RawWriter(storage, ITEM, NEW);
    const runs = Uint32Array.of(512, 1024, 3584, 4608, 8192, 8704, 20_480, 24_576, 36_352, 36_864);
    await writer.write(0, item(), runs);
    expect(wrote(storage)).toEqual([
      [0, 3 * BLOCK],
      [5 * BLOCK, BLOCK],
      [8 * BLOCK, BLOCK],
    ]);
    expect(writer.dataBytes).toBe(512 + 1024 + 512 + 4096 + 512);
  });

  test('through the page cache runs are not rounded', async () => {
    const storage = newStorage({ alignment: 1 });
    const writer = new RawWriter(storage, ITEM, NEW);
    await writer.write(0, item(), Uint32Array.of(0, 512, 3584, 4608));
    expect(wrote(storage)).toEqual([
      [0, 512],
      [3584, 1024],
    ]);
  });

  test('write resolves only when the last byte of the item is written', async () => {
    const storage = newStorage();
    storage.hold();
    const writer = new RawWriter(storage, ITEM, NEW);
    const writing = writer.write(0, item(), Uint32Array.of(0, BLOCK, 2 * BLOCK, 3 * BLOCK));
    await turn();
    storage.release(storage.writes[0]);
    expect(await stateOf(writing)).toBe('waiting');
    storage.releaseAll();
    await writing;
  });

  test('a failed write rejects once all other writes have ended, and none starts after it', async () => {
    const storage = newStorage();
    storage.hold();
    const writer = new RawWriter(storage, ITEM, NEW);
    const runs = Uint32Array.from({ length: 40 }, (_, index) => index * BLOCK);
    const writing = writer.write(0, item(), runs);
    await turn();
    const [first, ...others] = storage.underWay;
    expect(others.length).toBeGreaterThan(0);
    storage.release(first, { error: new Error('the first'), taken: 0 });
    expect(await stateOf(writing)).toBe('waiting');
    for (const other of others) storage.release(other, { error: new Error('a later one'), taken: 0 });
    await expect(writing).rejects.toThrow('the first');
    expect(storage.writes).toHaveLength(1 + others.length);
  });

  test('the memory may be reused as soon as an item is written, also the bytes after the disk’s end', async () => {
    const storage = newStorage();
    const writer = new RawWriter(storage, BLOCK + 512, NEW);
    const memory = item(2 * BLOCK);
    await writer.write(0, memory.subarray(0, BLOCK + 512), Uint32Array.of(0, BLOCK + 512));
    memory.fill(0);
    expect(await writer.finish()).toBe(BLOCK + 512);
    const expected = new Uint8Array(2 * BLOCK);
    expected.set(payload(BLOCK + 512));
    expect(storage.bytes(0, 2 * BLOCK)).toEqual(expected);
  });

  test('items out of order or past the end of the disk are a defect', async () => {
    const writer = new RawWriter(newStorage(), 2 * ITEM, NEW);
    await writer.write(ITEM, item(), Uint32Array.of());
    await expect(writer.write(0, item(), Uint32Array.of(0, BLOCK))).rejects.toMatchObject({
      code: 'ERR_INTERNAL',
    });
    await expect(writer.write(2 * ITEM, item(), Uint32Array.of())).rejects.toMatchObject({
      code: 'ERR_INTERNAL',
    });
  });
});

describe('the zeros', () => {
  const KEPT = { kind: 'existing', existingSize: 2 ** 43, isZero: false } as const;

  test('of a new file are holes already: a disk of zeros is one written block', async () => {
    const storage = newStorage();
    const writer = new RawWriter(storage, 2 ** 43, NEW);
    expect(await writer.finish()).toBe(2 ** 43);
    expect([wrote(storage), storage.punches]).toEqual([[[0, BLOCK]], []]);
  });

  test('before the first data of a new file are one block and a hole', async () => {
    const storage = newStorage();
    const writer = new RawWriter(storage, 2 * ITEM, NEW);
    await writer.write(ITEM, item(), Uint32Array.of(BLOCK, 2 * BLOCK));
    expect(wrote(storage)).toEqual([
      [0, BLOCK],
      [ITEM + BLOCK, BLOCK],
    ]);
    expect(storage.bytes(0, BLOCK).every((byte) => byte === 0)).toBe(true);
  });

  test('of an empty disk are no block', async () => {
    const storage = newStorage();
    expect(await new RawWriter(storage, 0, NEW).finish()).toBe(0);
    expect(storage.writes).toEqual([]);
  });

  test('of a target known to be zero are not written', async () => {
    const storage = newStorage();
    const writer = new RawWriter(storage, 2 ** 43, { ...KEPT, isZero: true });
    await writer.write(ITEM, item(), Uint32Array.of(BLOCK, 2 * BLOCK));
    await writer.finish();
    expect([wrote(storage), storage.punches]).toEqual([[[ITEM + BLOCK, BLOCK]], []]);
  });

  test('of an existing file become one hole for each gap of any size', async () => {
    const storage = newStorage();
    const writer = new RawWriter(storage, 2 ** 43, KEPT);
    await writer.write(2 ** 42, item(), Uint32Array.of(BLOCK, 2 * BLOCK, 4 * BLOCK, ITEM));
    expect(await writer.finish()).toBe(2 ** 43);
    expect(storage.punches).toEqual([
      { offset: 0, length: 2 ** 42 + BLOCK },
      { offset: 2 ** 42 + 2 * BLOCK, length: 2 * BLOCK },
      { offset: 2 ** 42 + ITEM, length: 2 ** 42 - ITEM },
    ]);
    expect(storage.writes).toHaveLength(2);
  });

  test('through the page cache are holes for whole blocks, and written bytes at the edges', async () => {
    const storage = newStorage({ alignment: 1, background: 7 });
    const writer = new RawWriter(storage, ITEM, { ...KEPT, existingSize: ITEM });
    await writer.write(0, item(), Uint32Array.of(0, 512, 10_240, ITEM));
    expect(storage.punches).toEqual([{ offset: BLOCK, length: BLOCK }]);
    expect(wrote(storage)).toEqual(
      expect.arrayContaining([
        [512, BLOCK - 512],
        [2 * BLOCK, 2048],
      ]),
    );
    expect(storage.bytes(512, 9728)).toEqual(new Uint8Array(9728));
  });

  test('are written, 2 MiB at a time, if holes are refused', async () => {
    const storage = newStorage({ background: 7 });
    storage.refusesPunch = () => true;
    const writer = new RawWriter(storage, 5 * MIB, { ...KEPT, existingSize: 5 * MIB });
    await writer.finish();
    expect(wrote(storage)).toEqual([
      [0, ITEM],
      [ITEM, ITEM],
      [2 * ITEM, MIB],
    ]);
  });

  test('that must be written are cancelled by the signal', async () => {
    const storage = newStorage({ background: 7 });
    storage.refusesPunch = () => true;
    const ending = new AbortController();
    storage.failWhen = () => {
      ending.abort();
      return undefined;
    };
    const writer = new RawWriter(storage, 2 ** 40, { ...KEPT, signal: ending.signal });
    await expect(writer.finish()).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    expect(storage.writes).toHaveLength(1);
  });
});

describe('a target that is too small', () => {
  test.each([
    ['existing', 2 * MIB - 512],
    ['device', MIB],
    ['existing', 0],
  ] as const)('is refused before anything is written (%s, %d bytes)', (kind, existingSize) => {
    const place = { kind, existingSize, isZero: false };
    expect(() => new RawWriter(newStorage(), 2 * MIB, place)).toThrow(
      expect.objectContaining({
        code: 'ERR_USAGE',
        expected: 2 * MIB,
        found: existingSize,
        message: `output file is smaller than input file: 'recording' has ${existingSize} bytes, and ${2 * MIB} are needed`,
      }),
    );
  });

  test('does not include one whose last sector is incomplete: it grows to the disk’s size', async () => {
    const writer = new RawWriter(newStorage(), 1024, { kind: 'existing', existingSize: 700, isZero: true });
    expect(await writer.finish()).toBe(1024);
  });

  test('for a disk of unknown size is reported by the system', async () => {
    const storage = new RecordingStorage({ deviceSize: BLOCK });
    storage.failWhen = () => ({ error: new Error('no space left'), taken: 0 });
    const writer = new RawWriter(storage, undefined, { kind: 'device', existingSize: BLOCK, isZero: false });
    const bytes = item().subarray(0, 2 * BLOCK + 1024);
    await expect(writer.write(0, bytes, Uint32Array.of(2 * BLOCK, bytes.length))).rejects.toThrow(
      'no space left',
    );
    expect(wrote(storage)).toEqual([[2 * BLOCK, 1024]]);
  });
});

test('a disk of unknown size ends at the size given to finish', async () => {
  const storage = newStorage({ background: 7 });
  storage.readsExpected = true;
  storage.preset(0, new Uint8Array(MIB).fill(7));
  const writer = new RawWriter(storage, undefined, { kind: 'existing', existingSize: MIB, isZero: false });
  await writer.write(0, item(BLOCK), Uint32Array.of(0, BLOCK));
  expect(await writer.finish(3 * BLOCK + 512)).toBe(MIB);
  const expected = new Uint8Array(MIB).fill(7);
  expected.fill(0, 0, 3 * BLOCK + 512).set(DATA.subarray(0, BLOCK));
  expectSameBytes(storage.bytes(0, MIB), expected);
});
