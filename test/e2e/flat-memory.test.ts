/** A conversion takes as much memory for a disk of 1 TiB as for one of 8 MiB, for any geometry of the images. */
import { stat } from 'node:fs/promises';
import { beforeAll, describe, expect, test } from 'vitest';
import { qemuIo } from '../oracle/qemu-io.js';
import { runOk } from '../oracle/run.js';
import { sample } from '../stage.js';
import { cliWithPeak } from './peak-memory.js';
import { useScratch } from './scratch.js';
import { makeSparseDisk, randomBytes, TIB, textBytes } from './source-images.js';

const path = useScratch();
const MIB = 2 ** 20;
const GIB = 2 ** 30;
/** KiB: what two runs of the same conversion differ by. */
const TOLERANCE = 12 * 1024;
/** KiB: the L1 table of the largest disk that 512-byte clusters can have, and refcount blocks of 256 bytes. */
const LARGEST_L1_TABLE = 32 * 1024;

const small = path('small.raw');
const disks = { tebibyte: path('1t.raw'), 'with the most clusters': path('127g.raw') };

/** The same data, at the start and in the middle. */
const makeDisk = (disk: string, size: number) =>
  makeSparseDisk(disk, size, [
    [0, Buffer.concat([textBytes(200_000), randomBytes(100_000)])],
    [size / 2, textBytes(200_000)],
  ]);

beforeAll(async () => {
  // As many work items as the others have.
  await makeDisk(small, 8 * MIB);
  await makeDisk(disks.tebibyte, TIB);
  await makeDisk(disks['with the most clusters'], 127 * GIB);
});

/** One thread: a small disk has no work for more. @returns KiB */
async function peakOf(flags: string, source: string): Promise<number> {
  const options = flags.split(' ').filter((flag) => flag !== '');
  // One target becomes raw and qcow2 in turn.
  const format = options.includes('-O') ? [] : ['-O', 'qcow2'];
  const args = ['convert', '-m', '1', ...format, ...options, source, path('target')];
  const { status, stderr, peak } = await cliWithPeak(args, path('peak'));
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  return peak;
}

/** The disks, and how much more the larger may take, in KiB. */
const TEBIBYTE = [disks.tebibyte, TOLERANCE] as const;
const MOST_CLUSTERS = [disks['with the most clusters'], TOLERANCE + LARGEST_L1_TABLE] as const;

test.each(
  sample(
    [
      ['-c', ...TEBIBYTE],
      ['-O raw', ...TEBIBYTE],
      ['-c -o compression_type=zstd,refcount_bits=1', ...TEBIBYTE],
      ['-O qcow2 -o extended_l2=on,cluster_size=2M,refcount_bits=64', ...TEBIBYTE],
      ['-O qcow2 -o cluster_size=512', ...MOST_CLUSTERS],
    ] as const,
    1,
  ),
)('a target made with %s', async (flags, large, most) => {
  expect((await peakOf(flags, large)) - (await peakOf(flags, small))).toBeLessThan(most);
});

describe('a source with', () => {
  test.each(
    sample(
      [
        ['refcount_bits=1', ...TEBIBYTE],
        ['extended_l2=on,cluster_size=2M,refcount_bits=64', ...TEBIBYTE],
        ['cluster_size=512', ...MOST_CLUSTERS],
      ] as const,
      1,
    ),
  )('%s', async (options, disk, most) => {
    const peaks: number[] = [];
    for (const { size } of [await stat(disk), await stat(small)]) {
      await runOk('qemu-img', ['create', '-q', '-f', 'qcow2', '-o', options, path('source'), `${size}`]);
      await qemuIo(path('source'), ['write -P 1 0 300k', `write -P 2 ${size / 2} 200k`]);
      peaks.push(await peakOf('-c', path('source')));
    }
    expect(peaks[0]! - peaks[1]!).toBeLessThan(most);
  });
});
