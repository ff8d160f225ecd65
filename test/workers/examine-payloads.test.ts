/** The examination of payloads in a worker. */
import { closeSync, constants, openSync, writeFileSync } from 'node:fs';
import { deflateRawSync, constants as zlib } from 'node:zlib';
import { expect, test } from 'vitest';
import { createDecompressor } from '../../src/engines/create-engine.js';
import type { ExaminationSetup } from '../../src/workers/messages/examination.js';
import { PayloadExaminer } from '../../src/workers/tasks/examine-payloads.js';
import { useScratch } from '../e2e/scratch.js';
import { joined, randomBytes, text } from '../engines/samples.js';
import { zstdFrame } from '../engines/zstd-frames.js';
import { memoryOf } from './worker-setup.js';

const CLUSTER = 8192;
const path = useScratch();

/** A file with these payloads, at places that nothing is aligned to. */
function fileOf(name: string, payloads: readonly Uint8Array[]) {
  let offset = 777;
  const places = payloads.flatMap((payload, index) => {
    const place = [index * CLUSTER, offset, payload.length + 300];
    offset += payload.length + 55;
    return place;
  });
  const bytes = payloads.map((payload) => joined(payload, new Uint8Array(55)));
  writeFileSync(path(name), joined(new Uint8Array(777), ...bytes));
  return Float64Array.from(places);
}

function setupOf(descriptor: number, more: Partial<ExaminationSetup> = {}): ExaminationSetup {
  return {
    ...{ task: 'examine payloads', type: 'zlib', descriptor, clusterSize: CLUSTER, streamFacts: true },
    ...{ itemSize: CLUSTER, inflate: [], salvage: true, readAlignment: 1 },
    ...more,
  };
}

async function examine(setup: ExaminationSetup): Promise<PayloadExaminer> {
  return new PayloadExaminer(setup, memoryOf(), await createDecompressor({ type: setup.type }));
}

/** With a distance of 100, of at most 1, of 3000. */
const BODIES = [
  joined(randomBytes(100), randomBytes(100), new Uint8Array(CLUSTER - 200)),
  joined(randomBytes(50), new Uint8Array(CLUSTER - 50)),
  joined(randomBytes(3000), randomBytes(3000), new Uint8Array(CLUSTER - 6000)),
];
const PAYLOADS = BODIES.map((body) => deflateRawSync(body));

test('counts bytes of streams, and the window so far, rounded up to a power of two', async () => {
  const payloads = fileOf('facts', PAYLOADS);
  const descriptor = openSync(path('facts'), 'r');
  const examiner = await examine(setupOf(descriptor));
  const one = (index: number) =>
    examiner.run({ payloads: payloads.subarray(3 * index, 3 * index + 3), slot: 0 });
  const facts = (index: number, window: number) => ({
    facts: { payloadBytes: PAYLOADS[index]!.length, window, checksums: 0 },
    broken: [],
    unreadable: [],
  });
  expect(one(1)).toEqual(facts(1, 1));
  expect(one(0)).toEqual(facts(0, 128));
  expect(one(2)).toEqual(facts(2, 4096));
  expect(one(1)).toEqual(facts(1, 4096));
  expect(examiner.run({ payloads, slot: 0 }).facts?.payloadBytes).toBe(
    PAYLOADS.reduce((sum, { length }) => sum + length, 0),
  );
  closeSync(descriptor);
});

test('without facts only broken payloads are reported', async () => {
  const payloads = fileOf('broken', [PAYLOADS[0]!, Uint8Array.of(7, 7, 7), PAYLOADS[1]!]);
  const descriptor = openSync(path('broken'), 'r');
  const examiner = await examine(setupOf(descriptor, { streamFacts: false }));
  const offset = payloads[4]!;
  expect(examiner.run({ payloads, slot: 0 })).toEqual({
    facts: undefined,
    broken: [1],
    unreadable: [
      {
        ...{ at: CLUSTER, length: CLUSTER },
        failure: {
          ...{ kind: 'corrupt', descriptor, offset, at: CLUSTER },
          message: 'the deflate stream is broken after 0 bytes: a block has the reserved type 3',
        },
      },
    ],
  });
  closeSync(descriptor);
});

test('reads without the page cache give the same result', async () => {
  const payloads = fileOf('direct', [...PAYLOADS, Uint8Array.of(7)]);
  const descriptor = openSync(path('direct'), constants.O_RDONLY | constants.O_DIRECT);
  const examiner = await examine(setupOf(descriptor, { readAlignment: 4096 }));
  expect(examiner.run({ payloads, slot: 0 })).toMatchObject({ facts: { window: 4096 }, broken: [3] });
  closeSync(descriptor);
});

test('a payload that continues past the end of the file is broken, even if zeros would complete it', async () => {
  // A stored block of zeros at the end of the stream.
  const payload = joined(
    deflateRawSync(text(CLUSTER - 100), { finishFlush: zlib.Z_SYNC_FLUSH }),
    Uint8Array.of(1, 100, 0, 155, 255),
    new Uint8Array(100),
  );
  const payloads = fileOf('zeros', [payload]);
  writeFileSync(path('zeros'), joined(new Uint8Array(777), payload.subarray(0, -50)));
  const descriptor = openSync(path('zeros'), 'r');
  const examiner = await examine(setupOf(descriptor));
  expect(examiner.run({ payloads, slot: 0 })).toMatchObject({
    broken: [0],
    unreadable: [{ failure: { message: 'it goes on past the end of the file' } }],
  });
  writeFileSync(path('zeros'), joined(new Uint8Array(777), payload));
  expect(examiner.run({ payloads, slot: 0 }).broken).toEqual([]);
  closeSync(descriptor);
});

test('zstd frames are read as a stream, as in QEMU', async () => {
  const [CONTENT_SIZE_FLAG, WINDOW_DESCRIPTOR] = [200, 5];
  const frame = zstdFrame(text(CLUSTER), [[CONTENT_SIZE_FLAG, 0]]);
  const changed = (window: number) =>
    Buffer.from(frame).fill(window, WINDOW_DESCRIPTOR, WINDOW_DESCRIPTOR + 1);
  // Windows of 1 KiB, smaller than the block in it, of 1 MiB, and of 256 MiB.
  const frames = [frame, changed(0), changed(10 << 3), changed(18 << 3)];
  const payloads = fileOf('zstd', frames);
  const descriptor = openSync(path('zstd'), 'r');
  const examiner = await examine(setupOf(descriptor, { type: 'zstd' }));
  const { broken, unreadable, facts } = examiner.run({ payloads, slot: 0 });
  expect(broken).toEqual([1, 3]);
  expect(unreadable).toMatchObject([
    { failure: { kind: 'corrupt' } },
    { failure: { kind: 'corrupt', message: expect.stringMatching(/too much memory/) } },
  ]);
  expect(facts).toMatchObject({ window: 2 ** 20, payloadBytes: 2 * frame.length });
  closeSync(descriptor);
});
