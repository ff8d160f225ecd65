/** `check` compared with `qemu-img check`: the same words, numbers and exit codes for sound and corrupted images. */
import { open, rm, truncate } from 'node:fs/promises';
import { basename } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { CORRUPT_IMAGES } from '../check/corrupt-images.js';
import { FAR_CORRUPTIONS } from '../check/far-corruptions.js';
import { run, runOk } from '../oracle/run.js';
import { sample } from '../stage.js';
import { comparable, ourCheck, theirCheck, type Verdict } from './check-beside-qemu-img.js';
import { cli } from './cli.js';
import { copyImages, filesOf, sampleImages } from './generated-images.js';
import { useScratch } from './scratch.js';
import { makeHoles, randomBytes } from './source-images.js';

const path = useScratch();

/** What less than a cluster is missing of: qemu-img says nothing of it. */
const CUT_SHORT = /^ERROR [A-Za-z0-9 ]+ at offset 0x[0-9a-f]+ ends past the end of the file: .*\n/gm;
/** The message about leaks if a table could not be read; qemu-img's is the same for all leaks. */
const MAY_BE_IN_USE = 'They may be in use: not all tables that could refer to them could be read.';
const NO_HARM = 'This means waste of disk space, but no harm to data.';
/** Without the directory qemu-img gives the check up. */
const DIRECTORY_MISSING = 'bitmaps/directory past the end';

/** Expects qemu-img's output, plus the messages about missing parts of the file. */
function expectStricter(ours: Verdict, theirs: Verdict): void {
  const more = ours.stderr.match(CUT_SHORT)?.length ?? 0;
  expect(ours.status).toBe(2);
  expect(ours.stderr.replace(CUT_SHORT, '')).toBe(theirs.stderr);
  if (!ours.stdout.startsWith('{')) return;
  const [{ corruptions, ...our }, { corruptions: theirCount = 0, ...their }] = [ours, theirs].map(
    ({ stdout }) => JSON.parse(stdout) as { corruptions?: number },
  ) as [{ corruptions: number }, { corruptions?: number }];
  expect(our).toEqual(their);
  expect(corruptions).toBe(theirCount + more);
}

/** Expects the same of both programs, for people and for programs. */
async function expectSameVerdict(
  image: string,
  format?: string,
  outputs: readonly ('human' | 'json')[] = ['human', 'json'],
): Promise<void> {
  const verdicts = outputs.map(async (output) => {
    const stated = format === undefined ? [] : ['-f', format];
    const [ours, theirs] = await Promise.all([
      ourCheck(image, { output, ...(format === undefined ? {} : { format }) }),
      theirCheck(image, [...stated, '--output', output]),
    ]);
    const [our, their] = [comparable(ours, image), comparable(theirs, image)];
    if (our.status !== 1 && our.stderr.search(CUT_SHORT) >= 0) return expectStricter(our, their);
    expect({ ...our, stdout: our.stdout.replace(MAY_BE_IN_USE, NO_HARM) }).toEqual(their);
  });
  await Promise.all(verdicts);
}

describe('the verdict is qemu-img’s for the corrupted image', () => {
  test.each(sample([...CORRUPT_IMAGES, ...FAR_CORRUPTIONS], 12, 20))('$name', async ({ name, make }) => {
    const image = path('corrupt.qcow2');
    await make(image);
    if (name === DIRECTORY_MISSING) {
      const statuses = [(await ourCheck(image, {})).status, (await theirCheck(image, [])).status];
      return expect(statuses).toEqual([2, 1]);
    }
    await expectSameVerdict(image, 'qcow2');
  });
});

describe('the verdict is qemu-img’s for the generated image', () => {
  // For an image whose backing file is missing or the image itself, qemu-img prints an error or never ends.
  const images = [...new Map(sampleImages().map((image) => [image.file, image])).values()]
    .filter(({ name }) => !/^names\/(missing|loop-of-)/.test(name))
    // The corrupted images above show that the two outputs say the same.
    .map((image, index) => ({ ...image, output: index % 2 === 0 ? ('human' as const) : ('json' as const) }));
  const directory = path('made');
  beforeAll(() => copyImages(directory, filesOf(images)));

  test.each(images)('$name', async ({ file, args, output }) => {
    await expectSameVerdict(path('made', file), args.includes('-f') ? 'qcow2' : undefined, [output]);
  });
});

describe('images of their own', () => {
  test('one with more host clusters than are counted at once is gone through several times', async () => {
    const image = path('windows.qcow2');
    await runOk('qemu-img', ['create', '-q', '-f', 'qcow2', '-o', 'cluster_size=512', image, '1M']);
    await runOk('qemu-io', ['-f', 'qcow2', '-c', 'write -P 1 0 64k', image]);
    // 40 million host clusters; two of them are referred to far past the end of the refcount table.
    await truncate(image, 20 * 2 ** 30);
    await setFirstL2Entries(image, [0x8000_0003_0000_0000n, 0x0000_0004_8000_0200n]);
    const ours = await ourCheck(image, {});
    const theirs = await theirCheck(image, []);
    const sorted = (text: string) => text.split('\n').sort();
    expect(ours).toMatchObject({ status: 2, stdout: theirs.stdout });
    expect(sorted(ours.stderr)).toEqual(sorted(theirs.stderr));
    await rm(image);
  });

  test('an encrypted one needs no key', async () => {
    const image = path('aes.qcow2');
    const secret = ['--object', 'secret,id=key,data=abc'];
    const options = 'encrypt.format=aes,encrypt.key-secret=key';
    await runOk('qemu-img', ['create', '-q', '-f', 'qcow2', ...secret, '-o', options, image, '1M']);
    const named = `driver=qcow2,encrypt.key-secret=key,file.filename=${image}`;
    const { status, stdout } = await run('qemu-img', ['check', ...secret, '--image-opts', named]);
    expect(await ourCheck(image, {})).toEqual({ status, stdout, stderr: '' });
  });

  test('a file that the image names need not be there', async () => {
    const overlay = path('overlay.qcow2');
    const create = ['create', '-q', '-u', '-f', 'qcow2', '-b', 'missing', '-F', 'raw', overlay, '1M'];
    await runOk('qemu-img', create);
    expect(await ourCheck(overlay, {})).toMatchObject({ status: 0, stderr: '' });
    const external = path('external.qcow2');
    await runOk('qemu-img', ['create', '-q', '-f', 'qcow2', '-o', `data_file=${path('d')}`, external, '1M']);
    await rm(path('d'));
    expect(await ourCheck(external, {})).toMatchObject({ status: 0, stderr: '' });
  });

  test('a raw disk has no checks', async () => {
    const disk = path('disk.raw');
    await makeHoles(disk, Buffer.alloc(65536, 1));
    await expectSameVerdict(disk, 'raw');
    await expectSameVerdict(disk);
    expect((await ourCheck(disk, {})).status).toBe(63);
  });
});

/** Puts entries into the first L2 table of an image. */
async function setFirstL2Entries(image: string, entries: readonly bigint[]): Promise<void> {
  const file = await open(image, 'r+');
  const bytes = Buffer.alloc(8);
  const offsetAt = async (at: number) => {
    await file.read(bytes, 0, 8, at);
    return Number(bytes.readBigUInt64BE() & 0x00ff_ffff_ffff_fe00n);
  };
  const table = await offsetAt(await offsetAt(40));
  for (const [index, entry] of entries.entries()) {
    bytes.writeBigUInt64BE(entry);
    await file.write(bytes, 0, 8, table + index * 8);
  }
  await file.close();
}

describe('the data', () => {
  const image = path('data.qcow2');
  beforeAll(async () => {
    await makeHoles(path('data.raw'), Buffer.concat([randomBytes(96 * 1024), Buffer.alloc(2 ** 20, 7)]));
    await runOk('qemu-img', ['convert', '-c', '-f', 'raw', '-O', 'qcow2', path('data.raw'), image]);
  });

  test('is decompressed on request', async () => {
    const { status, stdout, stderr } = await ourCheck(image, { data: true });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toMatch(/^Compressed clusters examined: 17, broken: 0$/m);
  });

  test('that does not inflate is an error, which qemu-img does not see', async () => {
    const file = await open(image, 'r+');
    const entry = Buffer.alloc(8);
    await file.read(entry, 0, 8, 40);
    await file.read(entry, 0, 8, Number(entry.readBigUInt64BE()));
    await file.read(entry, 0, 8, Number(entry.readBigUInt64BE() & 0x00ff_ffff_ffff_fe00n) + 8 * 8);
    const payload = Number(entry.readBigUInt64BE() & (2n ** 54n - 1n));
    await file.write(Buffer.from([0xff]), 0, 1, payload);
    await file.close();

    expect((await theirCheck(image, [])).status).toBe(0);
    const { status, stdout, stderr } = await ourCheck(image, { data: true, output: 'json' });
    expect(status).toBe(2);
    expect(stderr).toMatch(
      new RegExp(
        `^ERROR compressed cluster at guest offset ${8 * 65536} \\(host offset ${payload}\\): the deflate .*\\n$`,
      ),
    );
    expect(JSON.parse(stdout)).toMatchObject({
      corruptions: 1,
      'examined-clusters': 17,
      'broken-clusters': 1,
    });
  });
});

describe('the program', () => {
  test('ends with the exit codes of qemu-img', async () => {
    const directory = path('codes');
    const image = path('codes.qcow2');
    for (const wanted of [0, 1, 2, 3] as const) {
      const corrupted = CORRUPT_IMAGES.find(({ status }) => status === wanted);
      await corrupted?.make(image);
      const outcome = await cli(['check', image]);
      expect(outcome.status).toBe(wanted);
      if (wanted === 1) expect(outcome.stderr).toMatch(/^(?:.*\n)*qcow2c: .*\n$/);
    }
    expect((await cli(['check', '-f', 'raw', image])).status).toBe(63);
    expect(await cli(['check', directory])).toMatchObject({ status: 1, stdout: '' });
  });

  test('shows progress, and prints only findings with -q', async () => {
    const image = path('quiet.qcow2');
    const leaking = CORRUPT_IMAGES.find(({ status }) => status === 3);
    await leaking?.make(image);
    const quiet = await cli(['check', '-q', '-p', image]);
    expect(quiet).toMatchObject({ status: 3, stdout: '' });
    expect(quiet.stderr).toMatch(/^Leaked cluster \d+ refcount=\d+ reference=\d+\n/);
    const loud = await cli(['check', '--data', '-p', basename(image)], { cwd: path('') });
    expect(loud.stdout).toMatch(/^ {4}\(0\.00\/100%\)\r[^\n]* {4}\(100\.00\/100%\)\r\n/);
  });
});
