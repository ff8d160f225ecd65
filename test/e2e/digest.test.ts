/** `convert --digest`: the digest taken while converting is that of the finished target. */
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { diskDigest } from '../oracle/disk-digest.js';
import { qemuIo } from '../oracle/qemu-io.js';
import { runOk } from '../oracle/run.js';
import { sample, shortened, TESTS_ALL } from '../stage.js';
import { cli, cliOk } from './cli.js';
import { useScratch } from './scratch.js';
import { makeHoles, patchworkBytes, randomBytes, textBytes } from './source-images.js';

const path = useScratch();
const MIB = 1024 * 1024;
const SIZE = 4 * MIB + 5 * 512;
const [raw, image, changed] = [path('disk.raw'), path('disk.qcow2'), path('changed.raw')];
/** The digests of the two raw disks. */
let [digestOfRaw, digestOfChanged] = ['', ''];

beforeAll(async () => {
  const content = Buffer.alloc(SIZE);
  Buffer.concat([textBytes(400_000), Buffer.alloc(2 * MIB), patchworkBytes(MIB)]).copy(content);
  randomBytes(66_000).copy(content, SIZE - 66_000);
  await makeHoles(raw, content);
  await runOk('qemu-img', ['convert', '-O', 'qcow2', '-c', raw, image]);
  randomBytes(200_000, 1).copy(content, 2 * MIB + 1000);
  content.fill(0, 3 * MIB, 3.5 * MIB);
  await makeHoles(changed, content);
  [digestOfRaw, digestOfChanged] = [await diskDigest(raw), await diskDigest(changed)];
});

/** Converts with --digest, and expects the digest that `checksum` finds in the target. */
async function digestOfBoth(args: readonly string[], target: string): Promise<string> {
  const printed = await cliOk(['convert', '--digest', ...args, target]);
  const format = target.endsWith('.raw') ? 'raw' : 'qcow2';
  expect(printed, args.join(' ')).toBe(await cliOk(['checksum', '-f', format, target]));
  return printed.slice(0, 64);
}

describe('of a new target', () => {
  test.each(
    sample(
      [
        ['-c -O qcow2', [raw, image]],
        ['-c -O qcow2 -o cluster_size=512', [raw]],
        ['-c -O qcow2 -o cluster_size=2M,compression_type=zstd', [image]],
        ['-c -O qcow2 --recompress', [image]],
        ['-O qcow2', [raw]],
        ['-O qcow2 -S 0', [raw]],
        ['-O qcow2 -o extended_l2=on,cluster_size=128k', [image]],
        ['-O qcow2 -o data_file=DATA,data_file_raw=on', [raw]],
        ['-O qcow2 -o preallocation=metadata', [image]],
        ['-O qcow2 -S 300k', [raw]],
        ['-c -O qcow2 --verify -m 1', [raw, image]],
      ] as const,
      3,
      5,
    ),
  )('convert %s, from raw and with copied payloads', async (options, sources) => {
    const args = options.replace('DATA', path('data')).split(' ');
    for (const source of sources) {
      expect(await digestOfBoth([...args, source], path('target.qcow2'))).toBe(digestOfRaw);
    }
  });

  test('a raw disk, a stream, several sources, and a disk of one item', async () => {
    expect(await digestOfBoth(['-O', 'raw', image], path('target.raw'))).toBe(digestOfRaw);
    const pipe = { fifo: path('fifo'), command: `cat '${raw}'` };
    const target = path('piped.qcow2');
    const args = ['convert', '-c', '--verify', '--digest', pipe.fifo, target];
    expect(await cliOk(args, { pipe })).toBe(`${digestOfRaw}  ${target}\n`);
    const joined = path('joined.raw');
    writeFileSync(joined, Buffer.concat([readFileSync(raw), readFileSync(changed)]));
    const several = await digestOfBoth(['-c', '-f', 'raw', raw, changed], path('target.qcow2'));
    expect(several).toBe(await diskDigest(joined));
    for (const size of shortened([0, 70_144], 1)) {
      writeFileSync(path('small'), randomBytes(size));
      const found = await digestOfBoth(['-c', '-f', 'raw', path('small')], path('target.qcow2'));
      expect(found).toBe(await diskDigest(path('small')));
    }
  });

  test('is printed with -q, with the target escaped, and not when the conversion fails', async () => {
    const named = path('back\\slash.qcow2');
    const expected = `\\${digestOfRaw}  ${named.replaceAll('\\', '\\\\')}\n`;
    expect(await cliOk(['convert', '-q', '-c', '--digest', raw, named])).toBe(expected);
    const failed = await cli(['convert', '-c', '--digest', '--min-size', '1G', raw, path('none.qcow2')]);
    expect(failed).toMatchObject({ status: 1, stdout: '' });
  });
});

describe('of an overlay', () => {
  /** Backing files with the content of the disk: as the same file, as another image, and as a raw disk. */
  test.each([
    '-f qcow2 -B BASE -F qcow2 OVER',
    '-f raw -B BASE -F qcow2 CHANGED',
    '-f raw -B RAW -F raw RAW',
  ])('convert %s covers what the backing file holds', async (words) => {
    const over = path('over.qcow2');
    await runOk('qemu-img', [...'convert -O qcow2 -F qcow2 -B'.split(' '), image, changed, over]);
    const names: Record<string, string> = { BASE: image, OVER: over, CHANGED: changed, RAW: raw };
    const args = words.split(' ').map((word) => names[word] ?? word);
    const lists = [['-c'], ['-O', 'qcow2'], ['-c', '-o', 'cluster_size=4k'], ['-c', '-o', 'compat=0.10']];
    for (const flags of sample(lists, 1)) {
      const found = await digestOfBoth([...flags, ...args], path('target.qcow2'));
      expect(found).toBe(words.includes('RAW') ? digestOfRaw : digestOfChanged);
    }
  });

  test('writes the same image as without --digest', async () => {
    for (const [target, flags] of [
      ['with.qcow2', ['--digest']],
      ['without.qcow2', []],
    ] as const) {
      await cli(['convert', ...flags, '-c', '-f', 'raw', '-B', image, '-F', 'qcow2', changed, path(target)]);
    }
    expect(readFileSync(path('with.qcow2')).equals(readFileSync(path('without.qcow2')))).toBe(true);
  });
});

test('of an incremental image: what its backing file shows belongs to it', async () => {
  const [disk, full, daily] = [path('guest.qcow2'), path('full.qcow2'), path('daily.qcow2')];
  await runOk('qemu-img', ['convert', '-O', 'qcow2', raw, disk]);
  await cliOk(['convert', '-c', '-f', 'qcow2', disk, full]);
  await runOk('qemu-img', ['bitmap', '--add', '-f', 'qcow2', disk, 'daily']);
  await qemuIo(disk, ['write -q -P 3 1M 70k']);
  await runOk('qemu-img', ['bitmap', '--disable', '-f', 'qcow2', disk, 'daily']);
  await qemuIo(disk, ['write -q -P 4 3M 64k']);
  const found = await digestOfBoth(
    [...'-c -f qcow2 --verify --bitmap daily -F qcow2 -B'.split(' '), full, disk],
    daily,
  );
  await runOk('qemu-img', ['convert', '-O', 'raw', daily, path('daily.raw')]);
  expect(found).toBe(await diskDigest(path('daily.raw')));
});

describe('of an existing target (-n)', () => {
  test.each([
    ['-c', 0],
    ['-S 0', 1],
    ['', 2],
  ])('convert -n %s covers the rest of a larger disk', async (flags, nth) => {
    const existing = [
      ['5M', '4k'],
      [`${SIZE}`, '64k'],
      ['6M', '2M'],
    ] as const;
    for (const [size, clusters] of TESTS_ALL ? existing : [existing[nth]!]) {
      const target = path('existing.qcow2');
      await runOk('qemu-img', [
        ...'create -q -f qcow2 -o'.split(' '),
        `cluster_size=${clusters}`,
        target,
        size,
      ]);
      await qemuIo(target, [`write -q -P 7 0 ${size}`]);
      const args = ['-n', ...flags.split(' ').filter((flag) => flag !== ''), '-O', 'qcow2', '-f', 'raw', raw];
      const found = await digestOfBoth(args, target);
      await runOk('qemu-img', ['convert', '-O', 'raw', target, path('all.raw')]);
      expect(found).toBe(await diskDigest(path('all.raw')));
    }
  });

  test('of a longer raw file: the part that the source fills', async () => {
    writeFileSync(path('longer.raw'), randomBytes(SIZE + MIB));
    const printed = await cliOk(['convert', '-n', '--digest', '-O', 'raw', image, path('longer.raw')]);
    expect(printed.slice(0, 64)).toBe(digestOfRaw);
  });
});

describe('with --salvage', () => {
  const damaged = path('damaged.qcow2');

  beforeAll(() => {
    copyFileSync(image, damaged);
    const bytes = readFileSync(damaged);
    bytes.fill(0xff, bytes.length - 60_000, bytes.length - 30_000);
    writeFileSync(damaged, bytes);
  });

  test.each(['-O qcow2', '-c -O qcow2', '-c -O qcow2 --recompress', '-O raw'])(
    'convert %s: what became zeros counts as zeros',
    async (flags) => {
      const target = path(flags.includes('raw') ? 'saved.raw' : 'saved.qcow2');
      const args = ['--salvage', '-q', ...flags.split(' '), '-f', 'qcow2', damaged];
      expect(await digestOfBoth(args, target)).not.toBe(digestOfRaw);
    },
  );

  test('over a backing file, a cluster of both that cannot be read becomes zeros', async () => {
    const over = path('over-damaged.qcow2');
    await runOk('qemu-img', [...'create -q -f qcow2 -F qcow2 -b'.split(' '), damaged, over]);
    await digestOfBoth(
      [...'--salvage -q -c -f qcow2 -F qcow2 -B'.split(' '), damaged, over],
      path('target.qcow2'),
    );
  });
});
