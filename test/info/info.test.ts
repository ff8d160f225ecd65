import * as fs from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { ImageReference } from '../../src/image/image-reference.js';
import type { ImageInfo, ImageInfoOptions } from '../../src/info/image-info.js';
import { imageInfo, imageInfoWith } from '../../src/info/info.js';
import type { Progress } from '../../src/workers/progress.js';
import { useScratch } from '../e2e/scratch.js';
import { type Forged, forgedQcow2 } from '../image/forged-qcow2.js';

const path = useScratch();
const openFiles = () => fs.readdirSync('/proc/self/fd').length;
const MIB = 2 ** 20;

function forge(name: string, forged: Forged = {}): string {
  fs.mkdirSync(path('sub'), { recursive: true });
  fs.writeFileSync(path(name), forgedQcow2(forged));
  return path(name);
}

function raw(name: string, content = 'a disk'): string {
  fs.writeFileSync(path(name), content);
  return path(name);
}

/** Looks, and expects that nothing stays open. */
async function look(image: ImageReference, more: Partial<ImageInfoOptions> = {}): Promise<ImageInfo[]> {
  const before = openFiles();
  try {
    return await imageInfo({ image, ...more });
  } finally {
    expect(openFiles()).toBe(before);
  }
}

const chainOf = (image: ImageReference) => look(image, { backingChain: true });
const names = (infos: readonly ImageInfo[]) => infos.map(({ file, format }) => `${format} ${file}`);

describe('imageInfo', () => {
  test('shows a backing name that is not UTF-8, without opening another file', async () => {
    const bytes = forgedQcow2({ backing: 'base?.raw', backingFormat: 'raw' });
    bytes[bytes.indexOf('base?.raw') + 4] = 0xff;
    fs.writeFileSync(path('odd.qcow2'), bytes);
    raw('base\ufffd.raw');
    const file = path('odd.qcow2');
    const [info] = await look({ file });
    expect(info?.qcow2?.backing?.name).toBe('base\ufffd.raw');
    await expect(chainOf({ file, format: 'qcow2' })).rejects.toMatchObject({
      code: 'ERR_UNSUPPORTED',
      file,
      message: expect.stringContaining('is not UTF-8'),
    });
  });

  test('says how to state the format of a backing file where the overlay does not', async () => {
    raw('base.vmdk', 'KDMV and more');
    await expect(chainOf({ file: forge('unstated.qcow2', { backing: 'base.vmdk' }) })).rejects.toMatchObject({
      message: expect.stringMatching(/with 'qemu-img rebase -u -b FILE -F raw OVERLAY'/),
    });
  });

  test('describes a raw disk', async () => {
    const file = raw('disk.raw', 'x'.repeat(600));
    expect(await look({ file })).toEqual([
      {
        file,
        format: 'raw',
        virtualSize: 1024,
        fileSize: 1024,
        diskSize: fs.statSync(file).blocks * 512,
        isDevice: false,
        qcow2: undefined,
      },
    ]);
    expect(await look({ file, format: 'raw', offset: 100, size: 512 })).toMatchObject([{ virtualSize: 512 }]);
    await expect(look({ file, format: 'raw', offset: 2000 })).rejects.toMatchObject({ code: 'ERR_USAGE' });
  });

  test('describes a qcow2 image without following its names', async () => {
    const file = forge('overlay.qcow2', {
      backing: 'sub/nowhere',
      backingFormat: 'vmdk',
      dataFile: 'nbd:nowhere',
      size: 3 * MIB,
    });
    expect(await look({ file })).toMatchObject([
      {
        format: 'qcow2',
        virtualSize: 3 * MIB,
        qcow2: {
          version: 3,
          clusterSize: 4096,
          compressionType: 'zlib',
          refcountBits: 16,
          lazyRefcounts: false,
          dirty: false,
          corrupt: false,
          extendedL2: false,
          encryption: undefined,
          backing: { name: 'sub/nowhere', fullName: path('sub/nowhere'), format: 'vmdk' },
          dataFile: { name: 'nbd:nowhere', raw: false },
          bitmaps: [],
          staleBitmaps: false,
          snapshots: [],
          deep: undefined,
        },
      },
    ]);
  });

  test('reports that an image requires a data file that it does not name', async () => {
    const [info] = await look({ file: forge('nameless.qcow2', { hasDataFile: true }) });
    expect(info?.qcow2?.dataFile).toEqual({ name: undefined, raw: false });
  });

  test('does not change a name with a protocol', async () => {
    const [info] = await look({ file: forge('remote.qcow2', { backing: 'nbd://host/disk' }) });
    expect(info?.qcow2?.backing?.fullName).toBe('nbd://host/disk');
    const [beside] = await look({ file: forge('beside.qcow2', { backing: 'file:disk.raw' }) });
    expect(beside?.qcow2?.backing?.fullName).toBe('file:disk.raw');
    const dated = forge('dated.qcow2', { backing: 'vm-2026-11-29T08:00.raw' });
    const [withDate] = await look({ file: dated });
    expect(withDate?.qcow2?.backing?.fullName).toBe(dated.replace('dated.qcow2', 'vm-2026-11-29T08:00.raw'));
  });

  test('describes AES encryption', async () => {
    const [info] = await look({ file: forge('aes.qcow2', { cryptMethod: 1 }) });
    expect(info?.qcow2?.encryption).toEqual({ format: 'aes' });
  });

  test('truncates identifiers and names of snapshots as QEMU does', async () => {
    const image = forgedQcow2({});
    const table = 16384;
    const entry = Buffer.alloc(40);
    entry.writeUInt16BE(300, 12);
    entry.writeUInt16BE(400, 14);
    image.writeUInt32BE(1, 60);
    image.writeBigUInt64BE(BigInt(table), 64);
    // A name that is cut inside a character of two bytes.
    const file = path('snapshots.qcow2');
    fs.writeFileSync(
      file,
      Buffer.concat([image, entry, Buffer.from('1'.repeat(300) + 'é'.repeat(200)), Buffer.alloc(8)]),
    );
    const [info] = await look({ file });
    expect(info?.qcow2?.snapshots).toMatchObject([{ id: '1'.repeat(127), name: `${'é'.repeat(127)}\ufffd` }]);
  });
});

describe('the chain of an image', () => {
  test('is listed from top to bottom, with stated and probed formats', async () => {
    raw('base.raw');
    forge('sub/middle.qcow2', { backing: '../base.raw' });
    const file = forge('top.qcow2', { backing: 'sub/middle.qcow2', backingFormat: 'qcow2' });
    expect(names(await chainOf({ file }))).toEqual([
      `qcow2 ${file}`,
      `qcow2 ${path('sub/middle.qcow2')}`,
      `raw ${path()}/sub/../base.raw`,
    ]);
  });

  test('uses the format stated by the image above', async () => {
    forge('looks-like-qcow2');
    const file = forge('over-raw.qcow2', { backing: 'looks-like-qcow2', backingFormat: 'raw' });
    expect(names(await chainOf({ file }))).toEqual([`qcow2 ${file}`, `raw ${path('looks-like-qcow2')}`]);
  });

  test('uses the backing file given by the caller', async () => {
    const file = forge('elsewhere.qcow2', { backing: 'nowhere' });
    const other = raw('other.raw');
    expect(names(await chainOf({ file, backing: { file: other } }))).toEqual([
      `qcow2 ${file}`,
      `raw ${other}`,
    ]);
    expect(names(await chainOf({ file, backing: 'none' }))).toEqual([`qcow2 ${file}`]);
  });

  test('ends with an error at a loop, under any names', async () => {
    const file = forge('loop.qcow2', { backing: 'sub/../sub/loop.qcow2', backingFormat: 'qcow2' });
    fs.symlinkSync('../loop.qcow2', path('sub/loop.qcow2'));
    const second = `${path()}/sub/../sub/loop.qcow2`;
    await expect(chainOf({ file })).rejects.toMatchObject({
      code: 'ERR_CORRUPT',
      message: `Backing file '${second}' creates an infinite loop.`,
      file: second,
    });
  });

  test.each<[string, Forged, string, RegExp]>([
    [
      'an NBD export',
      { backing: 'nbd://host/x' },
      'ERR_UNSUPPORTED',
      /has the backing file 'nbd:\/\/host\/x'.*--allow-nbd-backing/,
    ],
    [
      'another format',
      { backing: 'x', backingFormat: 'vmdk' },
      'ERR_UNSUPPORTED',
      /in the format 'vmdk', which qcow2c/,
    ],
    ['a missing file', { backing: 'nowhere' }, 'ERR_IO', /^Could not open '.*nowhere': No such file/],
    ['a directory', { backing: 'sub' }, 'ERR_UNSUPPORTED', /but it is a directory$/],
  ])('ends with an error at %s', async (_, forged, code, message) => {
    const refused = expect(chainOf({ file: forge('bad.qcow2', forged) })).rejects;
    await refused.toMatchObject({ code, message: expect.stringMatching(message) });
  });
});

describe('info with deep', () => {
  const counts = { compressed: 1, normal: 2, zero: 3, unallocated: 4 };
  const examination = { clusters: counts, examined: 1, broken: 0, facts: undefined };

  test('examines every qcow2 image of the chain, with one progress for all', async () => {
    raw('base.raw');
    forge('lowest.qcow2', { backing: 'base.raw', backingFormat: 'raw', size: 2 * MIB });
    forge('lower.qcow2', { backing: 'lowest.qcow2', backingFormat: 'qcow2', size: 3 * MIB });
    const file = forge('upper.qcow2', { backing: 'lower.qcow2', backingFormat: 'qcow2', size: MIB });
    const seen: Progress[] = [];
    const asked: unknown[] = [];
    const { signal } = new AbortController();
    const infos = await imageInfoWith(
      {
        image: { file },
        backingChain: true,
        deep: true,
        threads: 3,
        signal,
        onProgress: (at) => seen.push(at),
      },
      async ({ header, file: { name } }, { onProgress, ...options }) => {
        asked.push([name, options]);
        const guestBytes = header.virtualSize;
        for (const guestBytesDone of [0, guestBytes]) {
          onProgress?.({ guestBytesDone, guestBytes, dataBytes: guestBytesDone / 2, storedBytes: undefined });
        }
        return examination;
      },
    );
    expect(infos.map(({ qcow2 }) => qcow2?.deep)).toEqual([
      ...[examination, examination, examination],
      undefined,
    ]);
    const options = { threads: 3, signal, streamFacts: true, snapshots: true };
    expect(asked).toEqual([
      [file, options],
      [path('lower.qcow2'), options],
      [path('lowest.qcow2'), options],
    ]);
    expect(seen.map(({ guestBytesDone, dataBytes }) => [guestBytesDone / MIB, dataBytes / MIB])).toEqual([
      [0, 0],
      [1, 0.5],
      [1, 0.5],
      [4, 2],
      [4, 2],
      [6, 3],
    ]);
    expect(new Set(seen.map(({ guestBytes }) => guestBytes))).toEqual(new Set([6 * MIB]));
  });

  test('closes all files when it fails', async () => {
    const file = forge('broken.qcow2');
    const before = openFiles();
    const failing = async () => {
      throw new Error('no worker');
    };
    await expect(imageInfoWith({ image: { file }, deep: true }, failing)).rejects.toThrow('no worker');
    expect(openFiles()).toBe(before);
  });
});
