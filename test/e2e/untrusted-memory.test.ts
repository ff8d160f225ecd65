/** The worst forged header costs no more memory than a stated bound. */
import { writeFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { sample } from '../stage.js';
import { cliWithPeak } from './peak-memory.js';
import { useScratch } from './scratch.js';
import {
  bitmapEntry,
  bitmapsExtension,
  type Forgery,
  snapshotEntry,
  writeForgery,
} from './untrusted-images.js';

const path = useScratch();
const MIB = 2 ** 20;
const GIB = 2 ** 30;
const CLUSTER = 65_536;
/** Of a whole run beyond that with an honest empty image, in KiB: see docs/security.md. */
const BOUND = 160 * 1024;

const other = path('other.raw');

const COMMANDS = sample(
  [
    'info -f qcow2 FILE',
    'info -f qcow2 --deep --output=json FILE',
    'check -f qcow2 FILE',
    'check -f qcow2 --data FILE',
    'compare -f qcow2 FILE OTHER',
    'map -f qcow2 --output=json FILE',
    'map -f qcow2 --output=svg FILE',
    'measure -f qcow2 -O qcow2 FILE',
    'measure -f qcow2 -c FILE',
    'convert -f qcow2 FILE OUT',
    'convert -f qcow2 -O raw FILE OUT',
  ],
  3,
);

function withSnapshots(): Forgery {
  const bytes = Buffer.concat(
    Array.from({ length: 16_384 }, (_, index) => {
      const names = { id: `${index}`.padStart(1000, 'i'), name: 'n'.repeat(2000) };
      return snapshotEntry({ l1: { offset: 4 * 2 * MIB, entries: 1 }, ...names });
    }),
  );
  return {
    clusterBits: 21,
    snapshots: { offset: 128 * MIB, count: 16_384 },
    pieces: [{ at: 128 * MIB, bytes }],
  };
}

function withBitmaps(): Forgery {
  const bytes = Buffer.concat(
    Array.from({ length: 16_384 }, (_, index) =>
      bitmapEntry({ offset: 64 * MIB, entries: 1 }, `${index}`.padStart(1000, 'b')),
    ),
  );
  return {
    autoclear: 1n,
    extensions: [bitmapsExtension(16_384, MIB, bytes.length)],
    pieces: [{ at: MIB, bytes }],
    fileSize: 65 * MIB,
  };
}

const FORGERIES: readonly (readonly [string, () => Forgery])[] = [
  ['an L1 table of 32 MiB', () => ({ l1: { offset: 6 * CLUSTER, entries: 4 * MIB }, fileSize: 33 * MIB })],
  [
    'a header, an L1 table, a refcount table and clusters of the largest size',
    () => ({
      clusterBits: 21,
      l1: { offset: 12 * MIB, entries: 4 * MIB },
      refcountTable: { offset: 64 * MIB, clusters: 4 },
      refcountOrder: 6,
      virtualSize: 2 ** 50,
      fileSize: 128 * MIB,
    }),
  ],
  [
    'the smallest clusters, and counters for as many as are counted at once',
    () => ({
      clusterBits: 9,
      refcountTable: { offset: MIB, clusters: 16_384 },
      refcountOrder: 0,
      fileSize: 16 * GIB,
    }),
  ],
  ['snapshots with long names', withSnapshots],
  ['bitmaps with long names', withBitmaps],
];

async function peakOf(command: string, image: string): Promise<number> {
  const replaced: Readonly<Record<string, string>> = { FILE: image, OTHER: other, OUT: path('out.img') };
  const words = command.split(' ').map((word) => replaced[word] ?? word);
  const { signal, stderr, peak } = await cliWithPeak(words, path('peak'));
  expect(signal).toBeNull();
  expect(stderr).not.toContain('internal error');
  return peak;
}

describe('memory for forged headers', () => {
  const honest = path('honest.qcow2');
  const peaks = new Map<string, number>();
  beforeAll(async () => {
    writeFileSync(other, Buffer.alloc(4096));
    writeForgery(honest, {});
    for (const command of COMMANDS) peaks.set(command, await peakOf(command, honest));
  });

  test.each(sample(FORGERIES, 2))('%s: no command needs more than the bound', async (_, forgery) => {
    const image = path('forged.qcow2');
    writeForgery(image, forgery());
    const more: [command: string, kib: number][] = [];
    for (const command of COMMANDS) {
      more.push([command, (await peakOf(command, image)) - (peaks.get(command) ?? 0)]);
    }
    if (process.env['QCOW2C_SHOW_PEAKS'] === '1') console.log(more);
    expect(more.filter(([, kib]) => kib > BOUND)).toEqual([]);
  });
});
