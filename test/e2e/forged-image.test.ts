/** A raw disk can hold a qcow2 header that names any file of the host: the output must contain nothing of that file. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { type Forged, forgedQcow2 } from '../image/forged-qcow2.js';
import { map } from '../oracle/qemu-img.js';
import { runOk } from '../oracle/run.js';
import { readTrace, underStrace, unquote } from '../oracle/strace.js';
import { shortened } from '../stage.js';
import { cli } from './cli.js';
import { expectFailure, snapshot } from './failures.js';
import { useScratch } from './scratch.js';
import { randomBytes } from './source-images.js';

const path = useScratch();
const SECRET = 'the key under the mat: 8f14e45fceea167a5a36dedd4bea2543\n';
const [secret, disk, log] = [path('host', 'secret'), path('work', 'disk.raw'), path('trace')];
const out = path('work', 'out.img');

beforeAll(() => runOk('mkdir', ['-p', path('host'), path('work')]));

/** A disk of a guest that wrote its own header into its first sectors. */
function writeForgedDisk(forged: Forged): Buffer {
  writeFileSync(secret, SECRET.repeat(100));
  const bytes = Buffer.concat([forgedQcow2({ size: 65_536, ...forged }), randomBytes(300_000)]);
  writeFileSync(disk, bytes);
  return bytes;
}

/** The files that were opened or examined while `run` ran. */
async function expectNeverOpened(run: (under: readonly string[]) => Promise<void>): Promise<void> {
  await run(underStrace(log, ['-e', 'trace=file']));
  const calls = readFileSync(log, 'utf8');
  // The trace is of the files that this is about.
  expect(calls).toContain(disk);
  expect(calls).not.toContain(secret);
  const opened = (await readTrace(log)).filter(({ name }) => name === 'openat');
  expect(opened.map(({ args }) => unquote(args[1] ?? ''))).not.toContain(secret);
}

/** Whether the guest of an image, or a reader of its file, finds the secret. */
async function holdsSecret(image: string): Promise<boolean> {
  await runOk('qemu-img', ['convert', '-O', 'raw', image, path('seen.raw')]);
  const isThere = [image, path('seen.raw')].some((file) => readFileSync(file).includes(SECRET.slice(8, 40)));
  rmSync(path('seen.raw'));
  return isThere;
}

test.each<readonly [string, Forged]>([
  ['its backing file, of version 2', { version: 2, backing: secret }],
  ['its backing file in a stated format', { backing: secret, backingFormat: 'raw' }],
  ['its data file', { dataFile: secret }],
])(
  'a raw disk that names a secret as %s is refused without a stated format; nothing is left, and the secret is never opened',
  async (_, forged) => {
    writeForgedDisk(forged);
    await expectNeverOpened((under) =>
      expectFailure(
        path('work'),
        ['convert', '-c', '-O', 'qcow2', disk, out],
        /looks like a qcow2 image and names the (backing|data) file '.*', but its format was not stated: .* -f FMT: raw .*$/,
        { under },
      ),
    );
  },
);

describe.each(
  shortened<readonly [string, Forged]>(
    [
      ['its backing file', { backing: secret }],
      ['its data file', { dataFile: secret }],
    ],
    1,
  ),
)('a raw disk that names a secret as %s', (_, forged) => {
  test('is read as raw bytes with -f raw, isolated or not', async () => {
    const bytes = writeForgedDisk(forged);
    for (const target of [
      ['-O', 'qcow2', '-c'],
      ['-O', 'raw', '--isolated'],
    ]) {
      await expectNeverOpened(async (under) => {
        const args = ['convert', '-f', 'raw', ...target, disk, out];
        expect(await cli(args, { under })).toMatchObject({ status: 0, stderr: '' });
      });
      const format = target.includes('raw') ? 'raw' : 'qcow2';
      await runOk('qemu-img', ['compare', '-f', 'raw', '-F', format, disk, out]);
      if (format === 'raw') {
        expect(readFileSync(out).subarray(0, bytes.length).equals(bytes)).toBe(true);
      } else {
        // The target has no backing file.
        expect((await map(out, 'qcow2')).every((range) => !('depth' in range) || range['depth'] === 0)).toBe(
          true,
        );
        expect(await holdsSecret(out)).toBe(false);
      }
      rmSync(out);
    }
  });

  test('is refused with --isolated, for any format option', async () => {
    writeForgedDisk(forged);
    await expectNeverOpened((under) =>
      expectFailure(
        path('work'),
        ['convert', '--isolated', '-f', 'qcow2', '-c', '-O', 'qcow2', disk, out],
        /names the (backing|data) file '.*', which --isolated refuses$/,
        { under },
      ),
    );
    // This one would be refused anyway.
    const probed = ['convert', '--isolated', '-c', '-O', 'qcow2', disk, out];
    await expectFailure(path('work'), probed, /which --isolated refuses$/);
    const options = `driver=qcow2,file.filename=${disk}`;
    await expectNeverOpened((under) =>
      expectFailure(
        path('work'),
        ['convert', '--isolated', '--image-opts', '-O', 'raw', options, out],
        /which --isolated refuses$/,
        { under },
      ),
    );
  });

  test('is read as an image where the format is stated: then the name is trusted', async () => {
    writeForgedDisk(forged);
    const args = ['convert', '-f', 'qcow2', '-O', 'raw', disk, out];
    expect((await cli(args, { under: underStrace(log, ['-e', 'trace=file']) })).status).toBe(0);
    // So the trace shows it when it happens.
    expect(readFileSync(log, 'utf8')).toContain(secret);
    // Nothing in the data file is mapped, so only the backing file shows.
    expect(readFileSync(out).includes(SECRET)).toBe('backing' in forged);
    rmSync(out);
  });

  test('as the backing file of an image that does not state its format is refused', async () => {
    writeForgedDisk(forged);
    const overlay = path('work', 'overlay.qcow2');
    writeFileSync(overlay, forgedQcow2({ size: 65_536, backing: 'disk.raw' }));
    await expectNeverOpened((under) =>
      expectFailure(
        path('work'),
        ['convert', '-f', 'qcow2', '-O', 'raw', overlay, out],
        /Could not open backing file: .*disk\.raw' looks like a qcow2 image and names the .*, but its format was not stated/,
        { under },
      ),
    );
    rmSync(overlay);
  });
});

test('the proof would see the secret: qemu-img puts it into the output', async () => {
  writeForgedDisk({ backing: secret, backingFormat: 'raw' });
  await runOk('qemu-img', ['convert', '-O', 'qcow2', disk, out]);
  expect(await holdsSecret(out)).toBe(true);
  rmSync(out);
});

test('a disk that arrives as a stream and begins with such a header is refused, and is raw with -f raw', async () => {
  const bytes = writeForgedDisk({ backing: secret });
  const redirected = ['sh', '-c', 'exec "$@" < "$0"', disk];
  const before = snapshot(path('work'));
  const refused = await cli(['convert', '-', out], { under: redirected });
  expect(refused).toMatchObject({ status: 1, stderr: expect.stringMatching(/looks like a qcow2 image/) });
  expect(snapshot(path('work'))).toEqual(before);
  expect((await cli(['convert', '-f', 'raw', '-O', 'raw', '-', out], { under: redirected })).status).toBe(0);
  expect(readFileSync(out).subarray(0, bytes.length).equals(bytes)).toBe(true);
  rmSync(out);
});

test('a file that the caller names in place of a forged name is read, and the forged name is not', async () => {
  writeForgedDisk({ backing: secret, backingFormat: 'raw' });
  const mine = path('work', 'mine.raw');
  writeFileSync(mine, randomBytes(65_536, 3));
  await expectNeverOpened(async (under) => {
    const options = `driver=qcow2,file.filename=${disk},backing.driver=raw,backing.file.filename=${mine}`;
    const args = ['convert', '--isolated', '--image-opts', '-O', 'raw', options, out];
    expect(await cli(args, { under })).toMatchObject({ status: 0, stderr: '' });
  });
  expect(readFileSync(out).equals(readFileSync(mine))).toBe(true);
  rmSync(out);
});
