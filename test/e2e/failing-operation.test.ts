/** Lets the first, the second, the third and every further operation on the target fail, one run each. */
import { writeFile } from 'node:fs/promises';
import { beforeAll, describe, expect, test } from 'vitest';
import { cli, injecting, ONE_THREAD } from './cli.js';
import { snapshot } from './failures.js';
import { expectGoodImage } from './judge.js';
import { useScratch } from './scratch.js';
import { makeSparseDisk, randomBytes, textBytes } from './source-images.js';

const path = useScratch();
const raw = path('disk.raw');
const target = path('old.qcow2');
beforeAll(() =>
  makeSparseDisk(raw, 40_000_000, [
    [0, textBytes(3_000_000)],
    [10_000_000, randomBytes(3_000_000)],
    [39_000_000, textBytes(1_000_000)],
  ]),
);

describe.each(['zlib', 'zstd'])('%s', (type) => {
  test('whichever operation fails, the run fails in one line and the old target stays', async () => {
    const args = ['convert', '-c', '-o', `compression_type=${type},cluster_size=32k`, raw, target];
    await writeFile(target, 'what was there before');
    const before = snapshot(path(''));
    let failures = 0;
    for (;;) {
      const under = injecting(
        'pwrite64,pwritev,fdatasync,ftruncate,rename',
        `error=EIO:when=${failures + 1}`,
      );
      const { status, stdout, stderr } = await cli(args, { under, env: ONE_THREAD });
      if (status === 0) break;
      failures += 1;
      expect([failures, status, stdout, stderr]).toEqual([
        failures,
        1,
        '',
        expect.stringMatching(new RegExp(`^qcow2c: Could not [^\n]*'${target}'[^\n]*\n$`)),
      ]);
      expect(snapshot(path(''))).toEqual(before);
    }
    // At least data, sync, tables, sync, length and name are operations of every run.
    expect(failures).toBeGreaterThan(6);
    await expectGoodImage(target, raw);
  });
});
