/** lseek through koffi, and through fs-ext without koffi: the same results. */
import { closeSync, openSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { constants } from 'node:os';
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import type { Seek } from '../../src/system/seek.js';
import { useScratch } from '../e2e/scratch.js';
import { makeSparseDisk, TIB } from '../e2e/source-images.js';
import { runOk } from '../oracle/run.js';

const path = useScratch();
const [SEEK_SET, SEEK_END, SEEK_DATA, SEEK_HOLE] = [0, 2, 3, 4];
const { EBADF, EINVAL, ENXIO } = constants.errno;

let descriptor: number;
beforeAll(async () => {
  await makeSparseDisk(path('disk.raw'), 5 * TIB, [
    [0, Buffer.alloc(4096, 1)],
    [4 * TIB + 4096, Buffer.alloc(4096, 1)],
  ]);
  descriptor = openSync(path('disk.raw'), 'r');
});
afterAll(() => closeSync(descriptor));
beforeEach(() => vi.resetModules());

async function load(): Promise<typeof import('../../src/system/seek.js')> {
  return import('../../src/system/seek.js');
}

async function seekThrough(name: 'koffi' | 'fs-ext'): Promise<Seek> {
  if (name === 'fs-ext') {
    vi.doMock('../../src/system/koffi.js', () => ({
      lacksDescriptor: () => false,
      loadKoffi: () => {
        throw new Error('no binary for this system');
      },
    }));
  }
  const seek = await (await load()).loadSeek();
  vi.doUnmock('../../src/system/koffi.js');
  expect(seek?.through).toBe(name);
  return seek as Seek;
}

test.each(['koffi', 'fs-ext'] as const)('through %s results and errors are those of lseek', async (name) => {
  const seek = await seekThrough(name);
  const questions: [number, number, number, number][] = [
    [descriptor, 8192, SEEK_DATA, 4 * TIB + 4096],
    [descriptor, 4 * TIB + 5000, SEEK_DATA, 4 * TIB + 5000],
    [descriptor, 0, SEEK_HOLE, 4096],
    [descriptor, 4 * TIB + 4096, SEEK_HOLE, 4 * TIB + 8192],
    [descriptor, 4 * TIB + 8192, SEEK_DATA, -ENXIO],
    [descriptor, 5 * TIB, SEEK_HOLE, -ENXIO],
    [descriptor, 0, SEEK_END, statSync(path('disk.raw')).size],
    [descriptor, -1, SEEK_SET, -EINVAL],
    [descriptor, 0, 99, -EINVAL],
    [999_999, 0, SEEK_DATA, -EBADF],
  ];
  for (const [fd, offset, whence, expected] of questions) {
    expect([offset, whence, seek.now(fd, offset, whence)]).toEqual([offset, whence, expected]);
    expect([offset, whence, await seek.later(fd, offset, whence)]).toEqual([offset, whence, expected]);
  }
});

test('many calls on other threads each get their own error', async () => {
  const { later } = await seekThrough('koffi');
  const questions = Array.from({ length: 300 }, (_, index): [number, number, number, number] =>
    index % 3 === 0
      ? [descriptor, 5 * TIB, SEEK_DATA, -ENXIO]
      : index % 3 === 1
        ? [999_999, 0, SEEK_DATA, -EBADF]
        : [descriptor, index, SEEK_DATA, index],
  );
  const answers = await Promise.all(questions.map(([fd, offset, whence]) => later(fd, offset, whence)));
  expect(answers).toEqual(questions.map(([, , , expected]) => expected));
});

test('fs-ext is not loaded where koffi works', async () => {
  const binary = createRequire(import.meta.url).resolve('fs-ext/build/Release/fs_ext.node');
  // The tests above have loaded it in this process, so another process is used.
  const code = `import { imageInfo, mapImage, surveyEngines } from '${new URL('../../dist/index.js', import.meta.url)}';
    const loaded = () => process.report.getReport().sharedObjects;
    const image = { file: process.argv[1], format: 'raw' };
    await imageInfo({ image });
    for await (const range of mapImage({ image })) break;
    const { fsExt, lseek } = await surveyEngines();
    const before = loaded();
    await import('fs-ext');
    console.log(JSON.stringify({ fsExt, lseek, before, after: loaded() }));`;
  const text = await runOk(process.execPath, ['--input-type=module', '-e', code, path('disk.raw')]);
  const { fsExt, lseek, before, after } = JSON.parse(text);
  expect({ fsExt, lseek }).toEqual({ fsExt: true, lseek: 'koffi' });
  expect(before).not.toContain(binary);
  expect(after).toContain(binary);
});
