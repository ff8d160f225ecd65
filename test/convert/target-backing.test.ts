import * as fs from 'node:fs';
import { describe, expect, test } from 'vitest';
import { openTargetBacking } from '../../src/convert/target-backing.js';
import type { ImageReference } from '../../src/image/image-reference.js';
import { type OpenedImage, openImage } from '../../src/image/open-image.js';
import { useScratch } from '../e2e/scratch.js';
import { forgedQcow2 } from '../image/forged-qcow2.js';
import { create } from '../oracle/qemu-img.js';
import { qemuIo } from '../oracle/qemu-io.js';
import { run, runOk } from '../oracle/run.js';

const path = useScratch();
const openFiles = () => fs.readdirSync('/proc/self/fd').length;
const SETTINGS = { direct: false, isolated: false };
const MIB = 2 ** 20;
const [base, middle, top, out] = [
  path('base.raw'),
  path('middle.qcow2'),
  path('top.qcow2'),
  path('out.qcow2'),
];
fs.writeFileSync(base, Buffer.alloc(2 * MIB, 1));
await create(middle, MIB, ['-b', base, '-F', 'raw']);
await qemuIo(middle, ['write -P 2 64k 64k']);
await create(top, MIB, ['-b', middle, '-F', 'qcow2']);
await qemuIo(top, ['write -P 3 128k 64k']);

/** Opens the image and a backing file for its copy. @returns how many files that took, and what both say */
async function withBacking<Result>(
  reference: ImageReference,
  backing: { readonly file: string; readonly format: 'raw' | 'qcow2' },
  look: (
    image: OpenedImage,
    opened: Awaited<ReturnType<typeof openTargetBacking>>,
    more: number,
  ) => Promise<Result>,
): Promise<Result> {
  const before = openFiles();
  const image = await openImage(reference, undefined, SETTINGS);
  const between = openFiles();
  const opened = await openTargetBacking(backing, out, image, SETTINGS);
  const result = await look(image, opened, openFiles() - between);
  await opened.opened?.source.close();
  await image.source.close();
  expect(openFiles()).toBe(before);
  return result;
}

describe('the backing file of a target', () => {
  test.each([
    ['relative to the target', 'middle.qcow2', 'qcow2'],
    ['absolute', middle, 'qcow2'],
    ['further down', base, 'raw'],
  ] as const)(
    'that the source is based on is read through the source’s own layers: %s',
    async (_, file, format) => {
      await withBacking({ file: top, format: 'qcow2' }, { file, format }, async (image, backing, more) => {
        expect([more, backing.files, backing.opened]).toEqual([0, [], undefined]);
        expect(backing.source.size).toBe(format === 'raw' ? 2 * MIB : MIB);
        const [ours, theirs] = [await image.source.map(0), await backing.source.map(0)];
        expect({ ...ours, length: 1 }).toEqual({ ...theirs, length: 1 });
        const changed = [await image.source.map(2 * 65_536), await backing.source.map(2 * 65_536)];
        expect({ ...changed[0], length: 1 }).not.toEqual({ ...changed[1], length: 1 });
      });
    },
  );

  test('may be the source itself', async () => {
    await withBacking(
      { file: top, format: 'qcow2' },
      { file: top, format: 'qcow2' },
      async (image, { source }, more) => {
        expect([more, source.size]).toEqual([0, MIB]);
        expect(await source.map(2 * 65_536)).toEqual(await image.source.map(2 * 65_536));
      },
    );
  });

  test('is the same under another name, through links', async () => {
    fs.symlinkSync(middle, path('link.qcow2'));
    fs.linkSync(middle, path('hard.qcow2'));
    for (const file of ['link.qcow2', 'hard.qcow2', './middle.qcow2']) {
      const found = await withBacking(
        { file: top, format: 'qcow2' },
        { file, format: 'qcow2' },
        async (_, { opened }) => opened,
      );
      expect(found).toBeUndefined();
    }
  });

  test.each<readonly [string, ImageReference, string, 'raw' | 'qcow2', number]>([
    ['the source’s, but in another format', { file: top, format: 'qcow2' }, middle, 'raw', 1],
    [
      'the source’s, but the caller put another under it',
      { file: top, format: 'qcow2', backing: { file: middle, format: 'qcow2', backing: 'none' } },
      middle,
      'qcow2',
      2,
    ],
    [
      'the source itself, to which the caller gives another backing file',
      { file: middle, format: 'qcow2', backing: 'none' },
      middle,
      'qcow2',
      2,
    ],
    [
      'the source’s, limited by the caller to a part',
      { file: middle, format: 'qcow2', backing: { file: base, format: 'raw', offset: MIB } },
      base,
      'raw',
      1,
    ],
  ])('is opened separately if it is %s', async (_, reference, file, format, count) => {
    await withBacking(reference, { file, format }, async (_image, { opened, files }, more) => {
      expect([more, files.length, opened?.layers[0].format]).toEqual([count, count, format]);
    });
  });

  test('is opened separately if the source is a snapshot of it', async () => {
    const file = path('snapshot.qcow2');
    await create(file, MIB);
    await runOk('qemu-img', ['snapshot', '-q', '-c', 'old', file]);
    await qemuIo(file, ['write -P 4 0 64k']);
    const image = await openImage({ file, format: 'qcow2' }, { name: 'old' }, SETTINGS);
    const { source, opened } = await openTargetBacking({ file, format: 'qcow2' }, out, image, SETTINGS);
    expect((await image.source.map(0)).kind).toBe('zero');
    expect((await source.map(0)).kind).toBe('data');
    await opened?.source.close();
    await image.source.close();
  });

  test('that is missing is refused by its own name, and all files are closed', async () => {
    const before = openFiles();
    const missing = openTargetBacking({ file: 'missing', format: 'qcow2' }, out, undefined, SETTINGS);
    const reason = `Could not open '${path('missing')}': No such file or directory`;
    const words = `Could not open the backing file of the target '${out}': ${reason}`;
    await expect(missing).rejects.toThrow(expect.objectContaining({ code: 'ERR_IO', message: words }));
    const args = ['convert', '-O', 'qcow2', '-B', 'missing', '-F', 'qcow2', '-f', 'raw', base, out];
    expect((await run('qemu-img', args)).stderr).toMatch(`Could not open backing file: ${reason}\n`);
    for (const [file, settings, facts] of [
      ['nbd://host/x', SETTINGS, { code: 'ERR_UNSUPPORTED', file: out }],
      [base, SETTINGS, { code: 'ERR_FORMAT' }],
      [
        top,
        { direct: false, isolated: true },
        { code: 'ERR_UNSUPPORTED', message: /which --isolated refuses$/ },
      ],
    ] as const) {
      await expect(
        openTargetBacking({ file, format: 'qcow2' }, out, undefined, settings),
      ).rejects.toMatchObject({
        ...facts,
        ...('message' in facts ? { message: expect.stringMatching(facts.message) } : {}),
      });
    }
    expect(openFiles()).toBe(before);
  });

  test('may name other files only if its format allows it', async () => {
    fs.writeFileSync(path('unstated'), forgedQcow2({ backing: 'top.qcow2' }));
    await expect(
      openTargetBacking({ file: 'unstated', format: 'qcow2' }, out, undefined, SETTINGS),
    ).rejects.toThrow(/its format was not stated/);
  });
});
