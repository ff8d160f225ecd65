/** `convert --output=json` and `--sha256`: results for programs. */
import { createHash } from 'node:crypto';
import { readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { diskDigest } from '../oracle/disk-digest.js';
import { runOk } from '../oracle/run.js';
import { shortened } from '../stage.js';
import { cli, cliOk, spawnCli } from './cli.js';
import { noLoopDevices, withLoopDevice } from './loop-device.js';
import { useScratch } from './scratch.js';
import { makeHoles, patchworkBytes, randomBytes, textBytes } from './source-images.js';

const path = useScratch();
const MIB = 1024 * 1024;
const raw = path('disk.raw');
const image = path('disk.qcow2');

beforeAll(async () => {
  await makeHoles(raw, Buffer.concat([textBytes(MIB), Buffer.alloc(5 * MIB), patchworkBytes(2 * MIB)]));
});

async function resultOf(...args: string[]): Promise<Record<string, unknown>> {
  return JSON.parse(await cliOk(['convert', '--output=json', ...args])) as Record<string, unknown>;
}

describe('the object of --output=json', () => {
  test('has the names and formats of sources and target, and all sizes', async () => {
    const result = await resultOf('-c', '--digest', '--sha256', '--verify', '-m', '2', raw, image);
    expect(result).toEqual({
      sources: [{ filename: raw, format: 'raw' }],
      filename: image,
      format: 'qcow2',
      'virtual-size': 8 * MIB,
      'file-size': statSync(image).size,
      ratio: expect.closeTo(Number(result['ratio']), 3),
      clusters: {
        size: 65536,
        compressed: expect.any(Number),
        copied: 0,
        normal: expect.any(Number),
        zero: 0,
      },
      'compressed-size': expect.any(Number),
      seconds: expect.any(Number),
      'bytes-per-second': expect.any(Number),
      engine: expect.any(String),
      levels: expect.any(Array),
      threads: 2,
      digest: await diskDigest(raw),
      sha256: (await runOk('sha256sum', [image])).slice(0, 64),
      verified: true,
      'verified-from': expect.any(String),
      'verified-part': 'disk',
      'unreadable-size': 0,
      'settled-milliseconds': expect.any(Number),
      cache: expect.any(String),
      'write-calls': expect.any(Number),
      'written-size': expect.any(Number),
      warnings: [],
    });
    const { compressed, normal } = result['clusters'] as Record<string, number>;
    const { compressed: found, normal: others } = await clustersOf(image);
    expect([compressed, normal]).toEqual([found, others]);
  });

  test('is alone on standard output; progress, -v and warnings go to standard error', async () => {
    // A disk that does not end with a sector gives a warning.
    const odd = path('odd.qcow2');
    await runOk('qemu-img', ['convert', '-O', 'qcow2', raw, odd]);
    const bytes = readFileSync(odd);
    bytes.writeBigUInt64BE(BigInt(8 * MIB - 100), 24);
    writeFileSync(odd, bytes);
    const { status, stdout, stderr } = await cli([
      ...'convert -c -p -v --progress=qemu --output=json -f qcow2'.split(' '),
      odd,
      image,
    ]);
    expect(status).toBe(0);
    const { warnings, ...result } = JSON.parse(stdout) as Record<string, unknown>;
    expect(result).toMatchObject({ verified: false, 'virtual-size': 8 * MIB - 512 });
    expect(warnings).toEqual([expect.stringContaining('512')]);
    expect(stderr).toContain(`qcow2c: warning: ${(warnings as string[])[0]}\n`);
    expect(stderr).toContain('(100.00/100%)');
    expect(stderr).toContain('Writes: ');
  });

  test('has no clusters and no ratio for a raw disk, and is not printed after an error', async () => {
    const result = await resultOf('-O', 'raw', raw, path('copy.raw'));
    expect(result).toMatchObject({ format: 'raw', 'file-size': 8 * MIB, verified: false });
    expect(Object.keys(result)).not.toContain('clusters');
    expect(Object.keys(result)).not.toContain('ratio');
    const failed = await cli(['convert', '-c', '--output=json', path('missing'), image]);
    expect(failed).toMatchObject({ status: 1, stdout: '' });
  });
});

/** The clusters by kind, as `info --deep` counts them. */
async function clustersOf(file: string) {
  const { deep } = JSON.parse(await cliOk(['info', '--deep', '--output=json', file])) as {
    deep: Record<string, number>;
  };
  return { compressed: deep['compressed-clusters'], normal: deep['normal-clusters'], ratio: deep['ratio'] };
}

test('the ratio is the same number in the object, in -v, in progress and in info --deep', async () => {
  for (const flags of [['-c'], ['-c', '-o', 'cluster_size=4k'], ['-O', 'qcow2']]) {
    const { stdout, stderr } = await cli([
      'convert',
      ...flags,
      '-v',
      '--progress=json',
      '--output=json',
      raw,
      image,
    ]);
    const { ratio } = JSON.parse(stdout) as { ratio: number };
    expect(await clustersOf(image)).toMatchObject({ ratio });
    expect(stderr).toContain(`, ratio of the data ${ratio.toFixed(3)}\n`);
    const last = stderr.split('\n').findLast((line) => line.startsWith('{'));
    expect(JSON.parse(last!)).toMatchObject({ state: 'done', ratio });
    if (flags[0] === '-c') {
      expect(await cliOk(['info', '--deep', image])).toContain(`ratio of the data: ${ratio.toFixed(3)}\n`);
    }
  }
});

describe('--sha256 prints what sha256sum prints', () => {
  test.each(
    shortened(['-c', '-O qcow2', '-O raw', '-O raw -S 0', '-c -t writeback', '-c --verify', '-c -q'], 3),
  )('of a new file, convert %s', async (flags) => {
    const target = path(flags.includes('raw') ? 'target.raw' : 'target.qcow2');
    const printed = await cliOk(['convert', '--sha256', ...flags.split(' '), raw, target]);
    expect(printed).toBe(await runOk('sha256sum', [target]));
  });

  test('of an existing file: all of it, with the bytes after the disk', async () => {
    const target = path('longer.raw');
    for (const size of [8 * MIB, 9 * MIB + 77]) {
      writeFileSync(target, randomBytes(size));
      const printed = await cliOk(['convert', '-n', '-O', 'raw', '--sha256', raw, target]);
      expect(printed).toBe(await runOk('sha256sum', [target]));
    }
  });

  test('of a device: the bytes of the image', async () => {
    if ((await noLoopDevices()) !== undefined) return;
    writeFileSync(path('device'), randomBytes(16 * MIB));
    await withLoopDevice(path('device'), [], async (device) => {
      const [printed] = (await cliOk(['convert', '-c', '--sha256', raw, device])).split(' ');
      const { 'file-size': length } = await resultOf('-c', raw, path('same.qcow2'));
      const bytes = readFileSync(device).subarray(0, Number(length));
      expect(printed).toBe(createHash('sha256').update(bytes).digest('hex'));
    });
  });

  test.each(shortened(['-c', '-c --spool DIR'] as const, 1))(
    'of what went through a pipe, convert %s',
    async (flags) => {
      const [stdout, words] = [path('piped'), flags.replace('DIR', path()).split(' ')];
      const under = ['sh', '-c', `"$@" | cat > '${stdout}'`, 'sh'];
      const { stderr } = await spawnCli(['convert', '--sha256', '--digest', ...words, raw, '-'], { under });
      const sum = (await runOk('sha256sum', [stdout])).slice(0, 64);
      expect(stderr).toBe(`${await diskDigest(raw)}  -\n${sum}  -\n`);
      if (flags !== '-c') return;
      const json = await spawnCli(['convert', '--sha256', '--output=json', ...words, raw, '-'], { under });
      expect(JSON.parse(json.stderr)).toMatchObject({ filename: 'standard output', sha256: sum });
    },
  );

  test('beside an image that goes to a file as standard output through a link', async () => {
    const [link, stdout] = [path('link'), path('through-link')];
    await runOk('ln', ['-sf', '/dev/stdout', link]);
    const under = ['sh', '-c', `"$@" > '${stdout}'`, 'sh'];
    const { stderr } = await spawnCli(['convert', '-c', '--sha256', raw, link], { under });
    expect(stderr).toBe(`${(await runOk('sha256sum', [stdout])).slice(0, 64)}  ${link}\n`);
  });

  test('of a disk with holes at its end, after the digest of its content', async () => {
    const sparse = path('sparse.raw');
    writeFileSync(sparse, randomBytes(1000));
    truncateSync(sparse, 70 * MIB);
    const target = path('sparse-copy.raw');
    const lines = await cliOk(['convert', '-O', 'raw', '--sha256', '--digest', '-f', 'raw', sparse, target]);
    const sum = await runOk('sha256sum', [target]);
    expect(lines).toBe(`${await diskDigest(sparse)}  ${target}\n${sum}`);
  });
});
