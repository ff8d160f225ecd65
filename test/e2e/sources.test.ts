/** Every kind of source that works, and the ones that do not. */
import { readFile, symlink, writeFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { info } from '../oracle/qemu-img.js';
import { runOk } from '../oracle/run.js';
import { sample } from '../stage.js';
import { cliOk } from './cli.js';
import { expectGoodImage } from './judge.js';
import { useScratch } from './scratch.js';
import { makeSparseDisk, randomBytes, textBytes } from './source-images.js';

const path = useScratch();
const image = path('image.qcow2');
const KIB = 1024;

/** Text with a few random bytes at the end, so that every byte counts. */
function content(length: number): Buffer {
  const bytes = Buffer.from(textBytes(length));
  randomBytes(Math.min(100, length), length % 10_000).copy(bytes, Math.max(0, length - 100));
  return bytes;
}

const ODD_LENGTHS = [1, 511, 512, 513, 4095, 65_535, 65_536, 65_537, 1_048_575, 1_048_577, 3_000_001];
test.each(sample(ODD_LENGTHS, 3, 6).map((length, nth) => [length, nth] as const))(
  'a source of %i bytes is rounded up to a sector and padded with zeros',
  async (length, nth) => {
    const raw = path('odd.raw');
    await writeFile(raw, content(length));
    for (const flags of [['-c'], nth % 2 === 0 ? ['-O', 'qcow2'] : ['-c', '-o', 'compression_type=zstd']]) {
      await cliOk(['convert', ...flags, raw, image]);
      await expectGoodImage(image, raw);
      expect((await info(image)).virtualSize).toBe(Math.ceil(length / 512) * 512);
    }
  },
);

test('an empty source makes an image of size 0', async () => {
  const raw = path('empty.raw');
  await writeFile(raw, '');
  for (const flags of [['-c'], ['-O', 'qcow2']]) {
    await cliOk(['convert', ...flags, raw, image]);
    await expectGoodImage(image, raw);
    expect((await info(image)).virtualSize).toBe(0);
  }
});

test('a source that is one hole, and one that is all zeros, allocate nothing', async () => {
  const [hole, zeros] = [path('hole.raw'), path('zeros.raw')];
  await makeSparseDisk(hole, 10_000 * KIB, []);
  await writeFile(zeros, Buffer.alloc(10_000 * KIB));
  for (const raw of [hole, zeros]) {
    await cliOk(['convert', '-c', raw, image]);
    expect((await expectGoodImage(image, raw)).allocatedClusters).toBe(0);
  }
});

test('several sources follow each other as qemu-img has them, each rounded up to a sector', async () => {
  const lengths = [100 * KIB + 1, 0, 511, 3 * 65_536, 70_000];
  const parts = await Promise.all(
    lengths.map(async (length, index) => {
      const part = path(`part-${index}.raw`);
      await writeFile(part, content(length));
      return part;
    }),
  );
  await runOk('qemu-img', ['convert', '-f', 'raw', '-O', 'raw', ...parts, path('joined.raw')]);
  for (const flags of [['-c'], ['-O', 'qcow2']]) {
    await cliOk(['convert', ...flags, ...parts, image]);
    await expectGoodImage(image, path('joined.raw'));
  }
});

test('the same source twice, and a source through a symbolic link, are read like any other', async () => {
  const raw = path('once.raw');
  await writeFile(raw, content(100_000));
  await symlink(raw, path('link.raw'));
  await runOk('qemu-img', ['convert', '-f', 'raw', '-O', 'raw', raw, raw, path('twice.raw')]);
  await cliOk(['convert', '-c', raw, path('link.raw'), image]);
  await expectGoodImage(image, path('twice.raw'));
});

test('file names with spaces, line ends, umlauts and a leading dash are file names', async () => {
  const names = ['a b\nc ü.raw', '-dash.raw', './colon:and,comma.raw'];
  for (const name of names) {
    await writeFile(path(name), content(5000));
    await cliOk(['convert', '-c', '--', name, `${name}.qcow2`], { cwd: path('') });
    const [raw, qcow2] = [path('plain.raw'), path('plain.qcow2')];
    await runOk('cp', ['--', path(name), raw]);
    await runOk('cp', ['--', path(`${name}.qcow2`), qcow2]);
    await expectGoodImage(qcow2, raw);
  }
});

test('a raw disk that begins like a qcow2 image is read as raw when the format is given', async () => {
  const [inner, raw] = [path('inner.qcow2'), path('looks.raw')];
  await writeFile(path('inner.raw'), content(300_000));
  await cliOk(['convert', '-c', path('inner.raw'), inner]);
  await runOk('cp', [inner, raw]);
  await cliOk(['convert', '-c', '-f', 'raw', raw, image]);
  await expectGoodImage(image, raw);
});

test('a qcow2 source, probed or named, gives the image that its raw disk gives', async () => {
  const [raw, qcow2, plain] = [path('source.raw'), path('source.qcow2'), path('plain-source.qcow2')];
  await writeFile(raw, content(1_000_000));
  await cliOk(['convert', '-c', raw, qcow2]);
  await runOk('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', raw, plain]);
  for (const source of [qcow2, plain]) {
    for (const flags of [[], ['-f', 'qcow2']]) {
      await cliOk(['convert', '-c', ...flags, source, image]);
      expect((await readFile(image)).equals(await readFile(qcow2))).toBe(true);
    }
  }
});
