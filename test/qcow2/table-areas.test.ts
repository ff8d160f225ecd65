import { describe, expect, test } from 'vitest';
import { hostOffset } from '../../src/qcow2/addresses.js';
import { TableAreas } from '../../src/qcow2/table-areas.js';
import { TableStream } from '../../src/qcow2/table-stream.js';
import { OverlapGuard } from '../../src/storage/overlap-guard.js';
import { alignedMemory } from '../../src/system/aligned-memory.js';
import { stateOf } from '../storage/promise-state.js';
import { payload, useRecordingStorage } from '../storage/recording-storage.js';

const makeStorage = useRecordingStorage();

function make(clusterSize = 4096) {
  const storage = makeStorage();
  const guard = new OverlapGuard(storage, 4096);
  const areas = new TableAreas(clusterSize, guard, new TableStream(guard));
  const complete = (offset: number) => areas.complete(hostOffset(offset), payload(clusterSize, offset % 251));
  const writes = () => storage.writes.map(({ offset, length }) => [offset, length]);
  return { storage, guard, areas, complete, writes };
}

describe('an area of tables', () => {
  test('is written at once when the last of its tables is complete, in any order', async () => {
    const { storage, areas, complete, writes } = make();
    areas.begin(hostOffset(8192), 3);
    areas.begin(hostOffset(40_960), 1);
    for (const offset of [16_384, 8192]) complete(offset);
    await areas.writeComplete();
    expect(writes()).toEqual([]);
    complete(40_960);
    complete(12_288);
    await areas.writeComplete();
    await areas.finish();
    expect(writes()).toEqual([
      [40_960, 4096],
      [8192, 12_288],
    ]);
    for (const offset of [8192, 12_288, 16_384, 40_960]) {
      expect(Buffer.compare(storage.bytes(offset, 4096), payload(4096, offset % 251))).toBe(0);
    }
  });

  test('is written at the end up to its last table; the rest stays a hole', async () => {
    const { areas, complete, writes } = make(512);
    areas.begin(hostOffset(8192), 64);
    for (let index = 0; index < 9; index += 1) complete(8192 + index * 512);
    await areas.writeComplete();
    await areas.finish();
    expect(writes()).toEqual([[8192, 8192]]);
  });

  test('is reserved for tables as soon as it begins', async () => {
    const { guard, areas } = make();
    areas.begin(hostOffset(8192), 2);
    await expect(guard.write(12_288, [new Uint8Array(1)])).rejects.toThrow('overwrite a table');
    await guard.write(16_384, [alignedMemory(4096).subarray(0, 4096)]);
    expect(() => areas.begin(hostOffset(12_288), 1)).toThrow(
      expect.objectContaining({ code: 'ERR_INTERNAL' }),
    );
  });

  test.each([
    ['outside of it', 4096],
    ['behind it', 16_384],
    ['between its places', 8193],
    ['that has come already', 8192],
  ])('refuses a table %s', (_, offset) => {
    const { areas, complete } = make();
    areas.begin(hostOffset(8192), 2);
    complete(8192);
    expect(() => complete(offset)).toThrow(expect.objectContaining({ code: 'ERR_INTERNAL' }));
  });

  test('is written while others are gathered; the next write waits for it', async () => {
    const { storage, areas, complete } = make();
    storage.hold();
    for (const offset of [8192, 16_384]) areas.begin(hostOffset(offset), 1);
    complete(8192);
    await areas.writeComplete();
    complete(16_384);
    const second = areas.writeComplete();
    expect(await stateOf(second)).toBe('waiting');
    expect(storage.writes.length).toBe(1);
    storage.releaseAll();
    await second;
    await areas.finish();
    expect(storage.writes.length).toBe(2);
  });

  test('whose write fails makes the next call fail', async () => {
    const { storage, areas, complete } = make();
    const error = new Error('no space');
    storage.failNth(0, error);
    areas.begin(hostOffset(8192), 1);
    complete(8192);
    await areas.writeComplete();
    await expect(areas.finish()).rejects.toBe(error);
  });
});
