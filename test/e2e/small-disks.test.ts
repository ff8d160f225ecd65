/** Real file systems that are full, at every few KiB, or go away: tmpfs, and ext4 where there are loop devices. */
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { run, runOk } from '../oracle/run.js';
import { sample } from '../stage.js';
import { ROOT } from './cli.js';
import { noLoopDevices } from './loop-device.js';
import { useScratch } from './scratch.js';
import { makeSparseDisk, randomBytes, textBytes } from './source-images.js';

const path = useScratch();
const SCRIPT = fileURLToPath(new URL('./on-small-disk.mjs', import.meta.url));
const LIBRARY = `${ROOT}dist/index.js`;
const OLD = createHash('sha256').update('old').digest('hex');

interface Failure {
  readonly code: string;
  readonly systemCode: string | undefined;
  readonly file: string;
  readonly message: string;
}
interface Told {
  readonly full: readonly {
    readonly way: string;
    readonly free: number;
    readonly error?: Failure;
    readonly names: readonly string[];
    readonly digest: string;
  }[];
  readonly gone: Readonly<Record<string, { readonly error?: Failure; readonly names: readonly string[] }>>;
}

test.each(sample(['tmpfs', 'ext4'], 1))(
  'on %s, for any missing space, only the old target stays',
  async (kind) => {
    const able = await run('unshare', ['-m', 'true']);
    if (able.status !== 0) return console.warn(`No file system can be mounted: ${able.stderr.trim()}`);
    const directory = path(kind);
    mkdirSync(directory);
    if (kind === 'ext4') {
      const why = await noLoopDevices();
      if (why !== undefined) return console.warn(`No ext4 can be mounted: ${why}`);
      await runOk('truncate', ['-s', '4M', `${directory}.ext4`]);
      await runOk('mkfs.ext4', ['-q', '-m', '0', `${directory}.ext4`]);
    }
    const source = path(`${kind}.raw`);
    await makeSparseDisk(source, 6_000_000, [
      [0, textBytes(200_000)],
      [2_500_000, randomBytes(130_000)],
      [5_000_000, randomBytes(60_000)],
    ]);
    const output = await runOk('unshare', ['-m', process.execPath, SCRIPT, LIBRARY, kind, directory, source]);
    const { full, gone } = JSON.parse(output) as Told;

    const target = `${directory}/image`;
    for (const { way, free, error, names, digest } of full) {
      expect({ way, free, names }).toEqual({ way, free, names: ['image'] });
      if (error === undefined) {
        expect(digest).toBe(full.findLast((other) => other.way === way)?.digest);
      } else {
        expect({ way, free, error, digest }).toMatchObject({
          error: { code: 'ERR_IO', systemCode: 'ENOSPC', file: target },
          digest: OLD,
        });
        expect(error.message).toMatch(/^Could not .*'.*image'.*: No space left on device$/i);
      }
    }
    for (const way of new Set(full.map((one) => one.way))) {
      const failed = full.filter((one) => one.way === way).map(({ error }) => error !== undefined);
      // All until there is room, and none from then on.
      expect(failed.indexOf(false)).toBeGreaterThan(0);
      expect(failed.lastIndexOf(true)).toBeLessThan(failed.indexOf(false));
    }

    expect(gone['unmounted']).toEqual({
      error: expect.objectContaining({
        code: 'ERR_IO',
        file: target,
        message: expect.stringContaining(' is lost: '),
      }),
      // Of the directory below.
      names: [],
    });
    if (kind !== 'ext4') return;
    expect(gone['shut down']?.error).toMatchObject({ code: 'ERR_IO', systemCode: 'EIO', file: target });
    expect(readFileSync(source).length).toBe(6_000_000);
  },
);
