/** `map` compared with qemu-img: the same ranges, words and exit codes for every image of the generator. */
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { basename, dirname } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { MapWords } from '../../src/cli/map/request.js';
import { DAMAGES } from '../map/damage.js';
import { asQemuImgPrintsIt, ourMap, theirMap } from '../map/run-map.js';
import { withoutOwnWarnings } from '../oracle/own-warnings.js';
import { run, runOk } from '../oracle/run.js';
import { cli, cliOk } from './cli.js';
import { copyImages, filesOf, listImages, sampleImages } from './generated-images.js';
import { useScratch } from './scratch.js';

const path = useScratch();
/** Once each: qemu-img maps the present state of an image, without its snapshots. */
const images = sampleImages().filter(({ args }) => !args.includes('-l'));
const loops = listImages().filter(({ kinds }) => kinds.includes('loop'));
const home = process.cwd();
afterAll(() => process.chdir(home));
beforeAll(async () => {
  const named = ['clusters/512-v3-zlib', 'clusters/64k-v3-zlib', 'plain/64k', 'sizes/nothing'];
  const broken = DAMAGES.map(({ image }) => image);
  const files = [...named, ...broken].map((name) => `${name}.qcow2`);
  await copyImages(path('images'), [...filesOf([...images, ...loops]), ...files]);
  // lseek answers differently until the blocks of a file are on the disk.
  await runOk('find', [path('images'), '-type', 'f', '-exec', 'sync', '{}', '+']);
}, 180_000);

/** Goes where the image is: both programs look for relative names of data files in the working directory. */
function enter(file: string): string {
  process.chdir(dirname(path('images', file)));
  return basename(file);
}

const NOT_IN_A_TABLE = 'File contains external, encrypted or compressed clusters';

/**
 * lseek reports unwritten extents as holes or data, depending on the file's pages in memory: qcow2c's answer must equal
 * qemu-img's right before or right after.
 */
async function expectSame(file: string, words: MapWords): Promise<void> {
  let [ours, theirs] = await Promise.all([ourMap(file, words), theirMap(file, words)]);
  if (asQemuImgPrintsIt(ours).stdout !== theirs.stdout) {
    const before = await theirMap(file, words);
    ours = await ourMap(file, words);
    theirs = asQemuImgPrintsIt(ours).stdout === before.stdout ? before : await theirMap(file, words);
  }
  expect(asQemuImgPrintsIt(ours)).toEqual({ status: theirs.status, stdout: theirs.stdout });
  expect(withoutOwnWarnings(ours.stderr) === '').toBe(theirs.stderr === '');
  expect(ours.stderr.includes(NOT_IN_A_TABLE)).toBe(theirs.stderr.includes(NOT_IN_A_TABLE));
}

describe('prints the ranges that qemu-img prints', () => {
  // qemu-img follows a loop for ever, and follows names in an image whose format was probed.
  const refused = ['loop', 'unstated-backing-format'];
  const read = images.filter(
    (image) => !(image.refused && image.kinds.some((kind) => refused.includes(kind))),
  );

  test.each(read.map((image, index) => ({ ...image, index })))('$name', async ({ file, index }) => {
    const name = enter(file);
    await expectSame(name, { format: 'qcow2', output: 'json' });
    if (index % 2 === 0) await expectSame(name, { format: 'qcow2', output: 'human' });
  });

  test.each(read.filter((_, index) => index % 3 === 0))(
    'from an odd place and up to another: $name',
    async ({ file }) => {
      const name = enter(file);
      await expectSame(name, { format: 'qcow2', output: 'json', startOffset: '70001', maxLength: '123457' });
      await expectSame(name, { format: 'qcow2', output: 'human', startOffset: '0x1ff', maxLength: '1M' });
    },
  );

  test('past the end of the disk, for no length, and of a disk of no size', async () => {
    const name = enter('plain/64k.qcow2');
    await expectSame(name, { format: 'qcow2', output: 'json', startOffset: '4P', maxLength: '5' });
    await expectSame(name, { format: 'qcow2', output: 'json', startOffset: '4k', maxLength: '0' });
    await expectSame(name, { format: 'qcow2', output: 'human', startOffset: '4P' });
    await expectSame(enter('sizes/nothing.qcow2'), { format: 'qcow2', output: 'json' });
  });

  test('of raw files: with holes, ending inside a sector, empty', async () => {
    enter('manifest.json');
    fs.writeFileSync('raw', Buffer.alloc(1000, 1));
    await expectSame('raw', { format: 'raw', output: 'json' });
    fs.truncateSync('raw', 2_000_001);
    const file = fs.openSync('raw', 'r+');
    fs.writeSync(file, Buffer.alloc(70_000, 2), 0, 70_000, 800_000);
    fs.closeSync(file);
    await runOk('sync', ['raw']);
    for (const output of ['json', 'human'] as const) await expectSame('raw', { format: 'raw', output });
    await expectSame('./raw', { format: 'raw', output: 'human', startOffset: '799999', maxLength: '2' });
    fs.truncateSync('raw', 0);
    await expectSame('raw', { format: 'raw', output: 'json' });
  });

  test.each(loops)('and refuses $name', async ({ file }) => {
    const { status, stdout, stderr } = await ourMap(enter(file), { format: 'qcow2', output: 'json' });
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toMatch(/^qcow2c: .* form a loop/);
  });
});

describe('prints for a broken image what qemu-img prints', () => {
  test.each(DAMAGES)('$what', async ({ image, apply }) => {
    const name = enter(`${image}.qcow2`);
    const bytes = fs.readFileSync(name);
    const broken = apply(bytes) ?? bytes;
    fs.writeFileSync('broken.qcow2', broken);
    // A file with holes where the image has them, as for a preallocated image.
    execFileSync('fallocate', ['--dig-holes', 'broken.qcow2']);
    await runOk('sync', ['broken.qcow2']);
    const words: MapWords = { format: 'qcow2', output: 'json' };
    const [ours, theirs] = await Promise.all([
      ourMap('broken.qcow2', words),
      theirMap('broken.qcow2', words),
    ]);
    expect(ours.status).toBe(theirs.status);
    expect(ours.stderr).toMatch(ours.status === 0 ? /^$/ : /^qcow2c: .+\n$/);
    if (ours.status === 0) expect(asQemuImgPrintsIt(ours).stdout).toBe(theirs.stdout);
    const picture = await ourMap('broken.qcow2', { ...words, output: 'svg' });
    expect(picture.stderr).toMatch(picture.status === 0 ? /^$/ : /^qcow2c: .+\n$/);
  });
});

describe('the program', () => {
  test('prints a table, or a list that includes compressed ranges', async () => {
    const cwd = path('images/clusters');
    const list = JSON.parse(await cliOk(['map', '--output=json', '64k-v3-zlib.qcow2'], { cwd })) as object[];
    expect(list).toContainEqual(expect.objectContaining({ compressed: true, data: true }));
    expect(list).toContainEqual(expect.objectContaining({ compressed: false, data: true }));
    const table = await cliOk(['map', '-s', '1M', '../plain/64k.qcow2'], { cwd });
    expect(table).toBe(await runOk('qemu-img', ['map', '-s', '1M', '../plain/64k.qcow2'], { cwd }));
  });

  test('exits with 1 where a table cannot hold the clusters, with what stood before them', async () => {
    const cwd = path('images/clusters');
    const theirs = await run('qemu-img', ['map', '512-v3-zlib.qcow2'], { cwd });
    const { status, stdout, stderr } = await cli(['map', '512-v3-zlib.qcow2'], { cwd });
    expect({ status, stdout }).toEqual({ status: theirs.status, stdout: theirs.stdout });
    expect(stderr).toBe(`qcow2c: ${NOT_IN_A_TABLE}; use --output=json to list them\n`);
  });

  test('draws a picture', async () => {
    const svg = await cliOk(['map', '--output=svg', path('images/clusters/64k-v3-zlib.qcow2')]);
    expect(svg).toMatch(/^<svg xmlns="http:\/\/www.w3.org\/2000\/svg" .*>\n/);
    expect(svg).toContain('>compressed clusters<');
    expect(svg).toMatch(/\n<\/svg>\n$/);
  });

  test('ends silently when its reader closes the pipe', async () => {
    const script = '"$0" bin/qcow2c.js map --output=json "$1" | head -n 1; echo $PIPESTATUS';
    const image = path('many-ranges.raw');
    const file = fs.openSync(image, 'w');
    for (let at = 0; at < 8000; at += 1) fs.writeSync(file, 'x', at * 8192);
    fs.closeSync(file);
    const { stdout, stderr } = await run('bash', ['-c', script, process.execPath, image], { cwd: home });
    expect(stdout).toMatch(/^\[\{ "start": 0, .*\n0\n$/);
    expect(stderr).toBe('');
  });

  test('fails when its output cannot be written', async () => {
    const script = '"$0" bin/qcow2c.js map --output=json "$1" > /dev/full';
    const args = ['-c', script, process.execPath, path('images/plain/64k.qcow2')];
    const { status, stderr } = await run('bash', args, { cwd: home });
    expect({ status, stderr }).toEqual({
      status: 1,
      stderr: 'qcow2c: Could not write standard output: No space left on device\n',
    });
  });
});
