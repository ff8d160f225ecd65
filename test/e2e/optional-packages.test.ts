/** Installations in which packages that need a compiler, or the bridge to native engines, are missing. */
import { cp, mkdir, readdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import zlib from 'node:zlib';
import { beforeAll, describe, expect, test } from 'vitest';
import { cliOk, ROOT } from './cli.js';
import { expectFailure } from './failures.js';
import { expectGoodImage } from './judge.js';
import { useScratch } from './scratch.js';
import { makeMixedDisk } from './source-images.js';

const path = useScratch();
const raw = path('mixed.raw');
const image = path('image.qcow2');
beforeAll(() => makeMixedDisk(raw));

/** Copies what npm would publish and links every installed package but `missing`. @returns its program */
async function installWithout(missing: readonly string[], into: string): Promise<string> {
  await mkdir(join(into, 'node_modules'), { recursive: true });
  for (const part of ['bin', 'dist', 'package.json'])
    await cp(join(ROOT, part), join(into, part), { recursive: true });
  for (const name of await readdir(join(ROOT, 'node_modules'))) {
    if (name.startsWith('.') || missing.includes(name)) continue;
    await symlink(join(ROOT, 'node_modules', name), join(into, 'node_modules', name));
  }
  return join(into, 'bin', 'qcow2c.js');
}

describe.each([
  ['fs-ext', ['fs-ext'], 'libdeflate'],
  ['fs-ext and koffi', ['fs-ext', 'koffi'], 'node'],
  ['koffi', ['koffi'], 'node'],
])('without %s', (name, missing, engine) => {
  let program = '';
  beforeAll(async () => {
    program = await installWithout(missing, path(name));
  });

  test('--version says what is missing and fails at nothing', async () => {
    const text = await cliOk(['--version'], { program });
    for (const part of missing) expect(text).toMatch(new RegExp(`^${part} +not found$`, 'm'));
  });

  test(`zlib images come out right, made by ${engine}`, async () => {
    for (const flags of [['-c'], ['-c', '-o', 'cluster_size=4k,compat=0.10'], ['-O', 'qcow2']]) {
      await cliOk(['convert', ...flags, raw, image], { program });
      await expectGoodImage(image, raw);
    }
  });

  test('zstd images come out right, or one line says what to install', async () => {
    const args = ['convert', '-c', '-o', 'compression_type=zstd', raw, path('zstd.qcow2')];
    if (engine === 'node' && !('zstdCompressSync' in zlib)) {
      return expectFailure(path(''), args, /zstd.*(install|libzstd)/i, { program });
    }
    await cliOk(args, { program });
    await expectGoodImage(path('zstd.qcow2'), raw);
  });
});
