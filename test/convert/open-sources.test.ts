import * as fs from 'node:fs';
import { link, mkdir, symlink, writeFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { openSources, refuseSameFile } from '../../src/convert/open-sources.js';
import { useScratch } from '../e2e/scratch.js';
import { create } from '../oracle/qemu-img.js';

const path = useScratch();
const openFiles = () => fs.readdirSync('/proc/self/fd').length;
const [small, odd, qcow2] = [path('small.raw'), path('odd.raw'), path('image.qcow2')];
await writeFile(small, Buffer.alloc(1024, 1));
await writeFile(odd, Buffer.alloc(513, 2));
await writeFile(path('vmdk.raw'), 'KDMV and more');
await create(qcow2, 65_536);

describe('opening sources', () => {
  test('one file is itself, several are joined, each rounded up to a sector; all are closed', async () => {
    const before = openFiles();
    const { source: one, readAlignment } = await openSources([odd], undefined, false);
    expect([one.name, one.size, readAlignment]).toEqual([odd, 1024, 1]);
    const { source: three } = await openSources([odd, small, odd], 'raw', false);
    expect([three.name, three.size]).toEqual([`${odd} + ${small} + ${odd}`, 3072]);
    expect(openFiles()).toBe(before + 4);
    await one.close();
    await three.close();
    expect(openFiles()).toBe(before);
  });

  test('reads past the page cache have to be aligned', async () => {
    const { source, readAlignment } = await openSources([odd, small], undefined, true);
    expect(readAlignment).toBe(4096);
    await source.close();
  });

  test('a file that looks like another format is raw when that is said', async () => {
    for (const name of [path('vmdk.raw'), qcow2]) {
      const { source } = await openSources([name], 'raw', false);
      await source.close();
    }
  });

  test.each([
    ['no file at all', [], undefined, { code: 'ERR_USAGE' }],
    [
      'a file that is not there',
      [small, path('missing')],
      undefined,
      { code: 'ERR_IO', systemCode: 'ENOENT' },
    ],
    ['a directory', [small, odd, path('')], undefined, { code: 'ERR_UNSUPPORTED', file: path('') }],
    [
      'a format that is not read',
      [small, path('vmdk.raw')],
      undefined,
      { code: 'ERR_UNSUPPORTED', found: 'vmdk' },
    ],
    ['a device without a size', [small, '/dev/zero'], 'raw', { code: 'ERR_UNSUPPORTED', file: '/dev/zero' }],
  ] as const)('%s is refused, and nothing stays open', async (_, names, format, facts) => {
    const before = openFiles();
    const opening = openSources(names, format, false);
    await expect(opening).rejects.toThrow(expect.objectContaining(facts));
    expect(openFiles()).toBe(before);
  });
});

describe('a target that is a source', () => {
  const same = (target: string) =>
    expect.objectContaining({
      code: 'ERR_USAGE',
      file: target,
      message: expect.stringContaining('same file'),
    });

  test('is refused under its name, a link to it, a hard link and another spelling', async () => {
    await mkdir(path('below'));
    await symlink(small, path('link'));
    await link(small, path('hard'));
    for (const target of [small, path('link'), path('hard'), path('below', '..', 'small.raw')]) {
      expect(() => refuseSameFile([odd, small], target)).toThrow(same(target));
      expect(() => refuseSameFile([target], small)).toThrow(same(small));
    }
  });

  test('is not another file with the same content, nor one that is not there yet', async () => {
    await writeFile(path('copy'), fs.readFileSync(small));
    for (const target of [path('copy'), path('not-there'), path('no', 'directory'), '/dev/null']) {
      refuseSameFile([odd, small], target);
    }
    await symlink(path('nowhere'), path('dangling'));
    refuseSameFile([small], path('dangling'));
  });

  test('that cannot be looked at is left to whoever opens it', async () => {
    await symlink(path('loop'), path('loop'));
    for (const target of [path('n'.repeat(300)), path('loop'), path('small.raw', 'below')]) {
      refuseSameFile([small], target);
    }
  });
});
