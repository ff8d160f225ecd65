/** Every code of an error: the document has it, and its positions are where they say. */
import { readFileSync, statSync } from 'node:fs';
import { open, writeFile } from 'node:fs/promises';
import { beforeAll, describe, expect, test } from 'vitest';
import { ERROR_CODES, type ErrorCode, Qcow2cError } from '../src/errors.js';
import { check, convert, imageInfo, mapImage, measure } from '../src/index.js';
import { nbdSettings } from '../src/nbd/connection-options.js';
import { OverlapGuard } from '../src/storage/overlap-guard.js';
import type { Storage } from '../src/storage/storage.js';
import { failureError } from '../src/workers/item-failure.js';
import { convertHere, testWorker } from './convert/built-worker.js';
import { useScratch } from './e2e/scratch.js';
import { runOk } from './oracle/run.js';

const path = useScratch();
const MIB = 2 ** 20;
const raw = path('disk.raw');
const image = path('disk.qcow2');
const vmdk = path('disk.vmdk');
const L1_OFFSET = 3 * 65_536;
/** Of an L1 entry that is made invalid, in the file and on the disk: an L2 table maps 512 MiB. */
const ENTRY = 3;
const ENTRY_OFFSET = L1_OFFSET + 8 * ENTRY;
const ENTRY_GUEST = ENTRY * 512 * MIB;

beforeAll(async () => {
  await writeFile(raw, Buffer.alloc(3 * MIB, 'disk'));
  await writeFile(vmdk, Buffer.concat([Buffer.from('KDMV'), Buffer.alloc(60_000)]));
  await runOk('qemu-img', ['create', '-f', 'qcow2', image, '4G']);
  const file = await open(image, 'r+');
  await file.write(Buffer.from('8000000000000200', 'hex'), 0, 8, ENTRY_OFFSET);
  await file.close();
});

async function mapWhole(file: string): Promise<void> {
  for await (const _ of mapImage({ image: { file, format: 'qcow2' } }));
}

/** For what only a race or a defect would bring about: the error where it is made. */
const thrown = (error: Qcow2cError) => Promise.reject(error);
const read = { descriptor: 3, offset: MIB, at: 512 } as const;
const short = { ...read, kind: 'short', expected: 512, found: 0 } as const;
const failed = { ...read, kind: 'read', errno: -5, code: 'EIO', message: 'EIO: i/o error, read' } as const;
const corrupt = { ...read, kind: 'corrupt', message: 'it ends early' } as const;
/** A tuple: the failure of an item at 7 MiB, its code, and its further facts. */
const FAILURES = [
  [failed, 'ERR_IO', { systemCode: 'EIO' }],
  [{ ...failed, file: 'changed' }, 'ERR_SOURCE_CHANGED', {}],
  [short, 'ERR_SOURCE_CHANGED', { expected: 512, found: 0 }],
  [corrupt, 'ERR_CORRUPT', {}],
] as const;

/** A tuple: the code, what fails with it, and the facts that say where. */
const CASES: readonly [ErrorCode, () => Promise<unknown>, Record<string, unknown>][] = [
  ['ERR_USAGE', () => measure({}), {}],
  ['ERR_UNSUPPORTED', () => imageInfo({ image: vmdk }), { file: vmdk }],
  ['ERR_FORMAT', () => imageInfo({ image: { file: raw, format: 'qcow2' } }), { file: raw, offset: 0 }],
  ['ERR_CORRUPT', () => mapWhole(image), { file: image, offset: ENTRY_OFFSET, guestOffset: ENTRY_GUEST }],
  ['ERR_IO', () => check({ image: path('none') }), { file: path('none'), systemCode: 'ENOENT' }],
  ['ERR_IO', () => nbdSettings({ tlsCreds: raw }), { file: `${raw}/keys.psk`, systemCode: 'ENOTDIR' }],
  ...FAILURES.flatMap(([failure, code, facts]): typeof CASES => {
    const guestOffset = 7 * MIB + 512;
    return [
      [
        code,
        () => thrown(failureError(failure, 7 * MIB, () => raw)),
        { ...facts, file: raw, offset: MIB, guestOffset },
      ],
      // A descriptor without a name: a position in no file says nothing.
      [
        code,
        () => thrown(failureError(failure, 7 * MIB, () => undefined)),
        { ...facts, file: undefined, guestOffset },
      ],
    ];
  }),
  ['ERR_LIMIT', () => measure({ size: 2 ** 62, targetFormat: 'qcow2' }), {}],
  [
    'ERR_WORKER',
    () => convertHere({ sources: [raw], target: path('never') }, { workerEntry: testWorker('throws') }),
    { guestOffset: 0 },
  ],
  [
    'ERR_ABORTED',
    () => convert({ sources: [raw], target: path('never'), signal: AbortSignal.abort('enough') }),
    { cause: 'enough', name: 'AbortError' },
  ],
  [
    'ERR_INTERNAL',
    async () => {
      const guard = new OverlapGuard({ name: image } as Storage, 512);
      guard.reserve(65_536, 65_536);
      await guard.write(65_000, [new Uint8Array(1000)]);
    },
    { file: image, offset: 65_000 },
  ],
];
/** Shown elsewhere: test/e2e/locks.test.ts and test/engines/engine-choice.test.ts. Neither has a position. */
const WITHOUT_POSITION: readonly ErrorCode[] = ['ERR_IN_USE', 'ERR_ENGINE'];

describe('an error says where it is', () => {
  test.each(CASES)('%s', async (code, fail, facts) => {
    const error = await fail().then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(Qcow2cError);
    const { file, offset, guestOffset } = error as Qcow2cError;
    expect(error).toMatchObject({ code, ...facts });
    expect({ offset, guestOffset }).toEqual({
      offset: facts['offset'],
      guestOffset: facts['guestOffset'],
    });
    // An offset is a position in the file that it comes with.
    if (offset !== undefined) expect(offset).toBeLessThanOrEqual(statSync(file ?? '').size);
  });

  test('the table has every code', () => {
    const codes = new Set([...CASES.map(([code]) => code), ...WITHOUT_POSITION]);
    expect([...codes].sort()).toEqual([...ERROR_CODES].sort());
  });
});

test('docs/errors.md describes every code', () => {
  const text = readFileSync(new URL('../docs/errors.md', import.meta.url), 'utf8');
  const described = [...text.matchAll(/^- `(ERR_\w+)`:/gm)].map(([, code]) => code);
  expect(described.sort()).toEqual([...ERROR_CODES].sort());
});
