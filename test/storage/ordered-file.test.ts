import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ImageLayout } from '../../src/storage/image-layout.js';
import { OrderedFile } from '../../src/storage/ordered-file.js';
import { OutputStream } from '../../src/storage/output-stream.js';
import { randomBytes } from '../e2e/source-images.js';
import { tries } from '../stage.js';
import { Collector, Stuck } from './collector.js';
import { stateOf, turn } from './promise-state.js';

const UNIT = 4096;
const MIB = 2 ** 20;

/** A part of an image, in units. */
interface Part {
  readonly kind: 'data' | 'tables' | 'gap';
  readonly units: number;
}

/** One write of the second pass. */
interface Write {
  readonly kind: 'data' | 'tables';
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/** An image with these parts: its bytes, its layout, and the writes that make it. */
async function imageOf(parts: readonly Part[], lastBytes = UNIT) {
  const units = parts.reduce((sum, part) => sum + part.units, 0);
  const bytes = randomBytes(units * UNIT, units % 1000);
  const layout = new ImageLayout();
  const writes: Write[] = [];
  let offset = 0;
  for (const { kind, units } of parts) {
    const part = bytes.subarray(offset, offset + units * UNIT);
    if (kind === 'gap') part.fill(0);
    else writes.push({ kind, offset, bytes: part });
    if (kind === 'data') layout.addData(offset, part.length);
    if (kind === 'tables') await layout.addTables(offset, part);
    offset += part.length;
  }
  layout.length = bytes.length - UNIT + lastBytes;
  return { bytes: bytes.subarray(0, layout.length), layout, writes };
}

async function openOrdered(layout: ImageLayout, stream: Collector | Stuck, unit = UNIT) {
  const output = await OutputStream.open({ stream, name: 'the pipe' }, undefined);
  return new OrderedFile(layout, output, 'the disk', { alignment: unit, unit });
}

const CHANGED = { code: 'ERR_SOURCE_CHANGED', file: 'the disk' };

describe('the second pass', () => {
  test('writes any layout from start to end, for any order of its parts', async () => {
    const part = fc.record({
      kind: fc.constantFrom('data' as const, 'tables' as const, 'gap' as const),
      units: fc.integer({ min: 1, max: 80 }),
    });
    const shape = fc.array(part, { minLength: 1, maxLength: 30 });
    await fc.assert(
      fc.asyncProperty(
        shape,
        fc.integer({ min: 1, max: UNIT }),
        fc.infiniteStream(fc.nat()),
        async (parts, last, order) => {
          const { bytes, layout, writes } = await imageOf(parts, last);
          const stream = new Collector();
          const file = await openOrdered(layout, stream);
          const shuffled = writes
            .map((write) => ({ write, at: order.next().value }))
            .sort((one, other) => one.at - other.at);
          await Promise.all(shuffled.map(({ write }) => file.write(write.offset, [write.bytes], write.kind)));
          await file.complete(layout.length);
          expect(stream.bytes.equals(bytes)).toBe(true);
          expect(stream.writableFinished).toBe(true);
        },
      ),
      { numRuns: tries(100) },
    );
  });

  test('writes tables of any length before the data that they lead to', async () => {
    const { bytes, layout, writes } = await imageOf([
      { kind: 'tables', units: 1 },
      { kind: 'gap', units: (40 * MIB) / UNIT },
      { kind: 'data', units: 2 },
    ]);
    const stream = new Collector();
    const file = await openOrdered(layout, stream);
    await Promise.all(writes.map(({ offset, bytes, kind }) => file.write(offset, [bytes], kind)));
    await file.complete(layout.length);
    expect(stream.bytes.equals(bytes)).toBe(true);
  });

  test.each([
    [UNIT, MIB],
    [2 * MIB, 4 * MIB],
  ])('with units of %i bytes keeps the last %i bytes until the image is complete', async (unit, held) => {
    const { bytes, layout, writes } = await imageOf([{ kind: 'data', units: 8 * (MIB / UNIT) }]);
    const stream = new Collector();
    const file = await openOrdered(layout, stream, unit);
    for (const { offset, bytes } of writes) await file.write(offset, [bytes]);
    await turn();
    await turn();
    expect(stream.bytes.length).toBe(bytes.length - held);
    await file.complete(layout.length);
    expect(stream.bytes.equals(bytes)).toBe(true);
  });

  test('takes a bounded number of bytes while the reader is stuck', async () => {
    const { layout, writes } = await imageOf(
      Array.from({ length: 80 }, () => ({ kind: 'data', units: MIB / UNIT })),
    );
    const stream = new Stuck();
    const file = await openOrdered(layout, stream);
    let taken = 0;
    const running = (async () => {
      for (const { offset, bytes } of writes) {
        await file.write(offset, [bytes]);
        taken += 1;
      }
    })();
    for (let turns = 0; turns < 200; turns += 1) await turn();
    expect(await stateOf(running)).toBe('waiting');
    expect(taken).toBeGreaterThan(16);
    expect(taken).toBeLessThan(36);
  });
});

describe('a second pass that differs is an error', () => {
  const PARTS = [
    { kind: 'tables', units: 1 },
    { kind: 'data', units: 600 },
    { kind: 'tables', units: 1 },
    { kind: 'data', units: 10 },
  ] as const;

  test('if a table has another byte', async () => {
    const { layout, writes } = await imageOf(PARTS);
    const file = await openOrdered(layout, new Collector());
    const [table] = writes as [Write];
    const other = Uint8Array.from(table.bytes);
    other[UNIT - 1]! ^= 1;
    await expect(file.write(0, [other], 'tables')).rejects.toMatchObject(CHANGED);
  });

  test('if a table is missing', async () => {
    const { layout, writes } = await imageOf(PARTS);
    const stream = new Collector();
    const file = await openOrdered(layout, stream);
    for (const { offset, bytes, kind } of writes.slice(1)) await file.write(offset, [bytes], kind);
    await expect(file.complete(layout.length)).rejects.toMatchObject(CHANGED);
    expect(stream.writableEnded).toBe(false);
  });

  test.each([
    ['where a table is', 0],
    ['where the first pass wrote nothing', 700 * UNIT],
  ])('if data come %s', async (_, offset) => {
    const { layout } = await imageOf(PARTS);
    const file = await openOrdered(layout, new Collector());
    await expect(file.write(offset, [new Uint8Array(UNIT)])).rejects.toMatchObject(CHANGED);
  });

  test('if data come twice', async () => {
    const { layout, writes } = await imageOf(PARTS);
    const file = await openOrdered(layout, new Collector());
    const { offset, bytes } = writes[1]!;
    await file.write(offset, [bytes]);
    await expect(file.write(offset, [bytes])).rejects.toMatchObject(CHANGED);
  });

  test('if data are missing, at the end or as soon as too much waits for them', async () => {
    const many = Array.from({ length: 60 }, () => ({ kind: 'data', units: MIB / UNIT }) as const);
    const { layout, writes } = await imageOf(many);
    const file = await openOrdered(layout, new Collector());
    await file.write(writes[1]!.offset, [writes[1]!.bytes]);
    await expect(file.complete(layout.length)).rejects.toMatchObject(CHANGED);
    const other = await openOrdered(layout, new Collector());
    let taken = 0;
    const running = (async () => {
      for (const { offset, bytes } of writes.slice(1)) {
        await other.write(offset, [bytes]);
        taken += 1;
      }
    })();
    await expect(running).rejects.toMatchObject(CHANGED);
    expect(taken).toBeLessThan(36);
  });

  test('if the image is longer', async () => {
    const { layout, writes } = await imageOf(PARTS);
    const file = await openOrdered(layout, new Collector());
    for (const { offset, bytes, kind } of writes) await file.write(offset, [bytes], kind);
    await expect(file.complete(layout.length + 512)).rejects.toMatchObject(CHANGED);
  });
});
