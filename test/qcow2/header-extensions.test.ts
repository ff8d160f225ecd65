import { readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Qcow2cError } from '../../src/errors.js';
import { EXTENSION_TYPES, encodeExtension } from '../../src/qcow2/extension-list.js';
import { CRYPT_METHODS, decodeHeader } from '../../src/qcow2/header.js';
import { decodeBackingName, decodeExtensions, headerAreaBytes } from '../../src/qcow2/header-extensions.js';
import { useScratch } from '../e2e/scratch.js';
import { create } from '../oracle/qemu-img.js';
import { run, runOk } from '../oracle/run.js';

const scratch = useScratch();
const MiB = 2 ** 20;

/** All content of the header area besides the header. */
function read(file: Uint8Array, name = 'x.qcow2') {
  const header = decodeHeader(file.subarray(0, 4096), name);
  const area = file.subarray(0, headerAreaBytes(header));
  return { backing: decodeBackingName(area, header, name), ...decodeExtensions(area, header, name) };
}

function luksPointer(offset: bigint, length: bigint): Uint8Array {
  const data = Buffer.alloc(16);
  data.writeBigUInt64BE(offset, 0);
  data.writeBigUInt64BE(length, 8);
  return encodeExtension(EXTENSION_TYPES.encryption, data);
}

/** A header of version 3 followed by this list. */
function image(list: readonly Uint8Array[], edit: (header: Buffer) => void = () => {}): Buffer {
  const header = Buffer.from(
    `514649fb00000003${'00'.repeat(8)}0000000000000009${'00'.repeat(8)}0000000000000000${'00'.repeat(8)}` +
      `0000000000000200${'0000000100000000'}${'00'.repeat(8)}${'00'.repeat(24)}0000000400000070${'00'.repeat(8)}`,
    'hex',
  );
  edit(header);
  const file = Buffer.alloc(512);
  Buffer.concat([header, ...list]).copy(file);
  return file;
}

const withDataFile = (header: Buffer) => header.writeBigUInt64BE(4n, 72);
const CRYPT_METHOD_AT = 32;
const withLuks = (header: Buffer) => header.writeUInt32BE(CRYPT_METHODS.luks, CRYPT_METHOD_AT);
const withAes = (header: Buffer) => header.writeUInt32BE(CRYPT_METHODS.aes, CRYPT_METHOD_AT);
const withBitmaps = (header: Buffer) => header.writeBigUInt64BE(1n, 88);
const withBackingFileAt = (offset: number, size: number) => (header: Buffer) => {
  header.writeBigUInt64BE(BigInt(offset), 8);
  header.writeUInt32BE(size, 16);
};

function bitmaps(count: number, size: bigint, offset: bigint, reserved = 0): Uint8Array {
  const data = Buffer.alloc(24);
  data.writeUInt32BE(count, 0);
  data.writeUInt32BE(reserved, 4);
  data.writeBigUInt64BE(size, 8);
  data.writeBigUInt64BE(offset, 16);
  return encodeExtension(EXTENSION_TYPES.bitmaps, data);
}

describe('the names in an image of qemu-img', () => {
  it.each([
    ['backing.raw', 'raw', 'compat=1.1'],
    ['backing.raw', 'raw', 'compat=0.10'],
    ['a name with\nlines, ünïcode and 😀', 'qcow2', 'cluster_size=512'],
    [
      `json:${JSON.stringify({ driver: 'raw', file: { driver: 'file', filename: 'b' } })}`,
      'raw',
      'cluster_size=2M',
    ],
    ['n'.repeat(1023), 'raw', 'cluster_size=64k'],
    ['n'.repeat(200), 'raw', 'cluster_size=512,data_file=data'],
  ])('are read, of backing file, its format and data file, case %#', async (backing, format, options) => {
    const name = scratch('overlay.qcow2');
    await runOk(
      'qemu-img',
      ['create', '-q', '-u', '-f', 'qcow2', '-b', backing, '-F', format, '-o', options, name, String(MiB)],
      { cwd: dirname(name) },
    );
    const dataFile = /data_file=(.*)/.exec(options)?.[1];
    expect(read(readFileSync(name), name)).toEqual({
      backing,
      backingFormat: format,
      ...(dataFile === undefined ? {} : { dataFile }),
    });
  });

  it('are undefined in an image without any', async () => {
    const name = scratch('alone.qcow2');
    await create(name, MiB);
    expect(read(readFileSync(name), name)).toEqual({ backing: undefined });
  });

  it('are read together with the place of the bitmaps', async () => {
    const name = scratch('bitmaps.qcow2');
    await create(name, MiB);
    for (const bitmap of ['one', 'two']) await runOk('qemu-img', ['bitmap', '--add', name, bitmap]);
    const file = readFileSync(name);
    const found = read(file, name);
    expect(found).toMatchObject({ bitmaps: { count: 2, directorySize: 64 } });
    expect(found.staleBitmaps).toBeUndefined();
    expect(file.toString('latin1', found.bitmaps!.directoryOffset + 24).slice(0, 3)).toBe('one');
    // A program without bitmap support clears the bit when it writes.
    file.writeBigUInt64BE(0n, 88);
    expect(read(file, name)).toEqual({ backing: undefined, staleBitmaps: true });
  });
});

describe('decodeExtensions', () => {
  const format = encodeExtension(EXTENSION_TYPES.backingFormat, Buffer.from('raw'));

  it('skips unknown extensions', () => {
    expect(read(image([encodeExtension(0x12345678, new Uint8Array(77)), format]))).toMatchObject({
      backingFormat: 'raw',
    });
  });

  it('treats missing bytes of a short file as zeros', () => {
    expect(read(image([format]).subarray(0, 124))).toMatchObject({ backingFormat: 'raw' });
    expect(read(image([]).subarray(0, 112))).toEqual({ backing: undefined });
  });

  it('ends the list at the backing file name', () => {
    const file = image([], withBackingFileAt(112, 11));
    file.write('\x01not a list', 112);
    expect(read(file)).toEqual({ backing: '\x01not a list'.slice(0, 11) });
  });

  it('ignores the name of a data file without its feature bit', () => {
    const list = [encodeExtension(EXTENSION_TYPES.dataFile, Buffer.from('secret'))];
    expect(read(image(list))).toEqual({ backing: undefined });
    expect(read(image(list, withDataFile))).toMatchObject({ dataFile: 'secret' });
  });

  it('finds the place of a LUKS header', () => {
    const list = [luksPointer(1024n, 4096n)];
    expect(read(image(list, withLuks))).toMatchObject({ luksHeader: { offset: 1024, length: 4096 } });
  });

  it('ends a name at a NUL and treats an empty one as none, as QEMU does', () => {
    const list = [
      encodeExtension(EXTENSION_TYPES.dataFile, Buffer.from('data\0more')),
      encodeExtension(EXTENSION_TYPES.backingFormat, Buffer.from('\0raw')),
    ];
    expect(read(image(list, withDataFile))).toMatchObject({ dataFile: 'data', backingFormat: undefined });
    expect(read(image([], withBackingFileAt(300, 4))).backing).toBeUndefined();
  });

  it.each([
    ['a list that its last extension leaves', [encodeExtension(7, new Uint8Array(393))], undefined, 116],
    ['an extension that begins in the last bytes of the list', [], withBackingFileAt(116, 4), 116],
    [
      'a format name too long',
      [encodeExtension(EXTENSION_TYPES.backingFormat, Buffer.alloc(16))],
      undefined,
      116,
    ],
    [
      'bitmaps of another length',
      [encodeExtension(EXTENSION_TYPES.bitmaps, new Uint8Array(23))],
      withBitmaps,
      116,
    ],
    ['no bitmap', [bitmaps(0, 64n, 512n)], withBitmaps, 120],
    ['too many bitmaps', [bitmaps(65536, 2n ** 22n, 512n)], withBitmaps, 120],
    ['reserved bits', [bitmaps(1, 32n, 512n, 1)], withBitmaps, 124],
    ['a directory too small', [bitmaps(2, 63n, 512n)], withBitmaps, 128],
    ['a directory too large', [bitmaps(2, 65535n * 1024n + 1n, 512n)], withBitmaps, 128],
    ['a directory in the header', [bitmaps(1, 32n, 0n)], withBitmaps, 136],
    ['a directory that is not aligned', [bitmaps(1, 32n, 520n)], withBitmaps, 136],
    [
      'a pointer to a LUKS header of another length',
      [encodeExtension(EXTENSION_TYPES.encryption, new Uint8Array(24))],
      withLuks,
      116,
    ],
    ['a LUKS header without encryption', [luksPointer(1024n, 4096n)], undefined, CRYPT_METHOD_AT],
    ['a LUKS header with AES', [luksPointer(1024n, 4096n)], withAes, CRYPT_METHOD_AT],
    ['a LUKS header in the header', [luksPointer(0n, 592n)], withLuks, 120],
    ['a LUKS header that is not aligned', [luksPointer(520n, 592n)], withLuks, 120],
    ['a LUKS header past every file', [luksPointer(2n ** 63n, 592n)], withLuks, 120],
    ['a LUKS header too small', [luksPointer(512n, 591n)], withLuks, 128],
    ['a LUKS header past what a number holds', [luksPointer(512n, 2n ** 53n)], withLuks, 128],
  ])('refuses %s', (_, list, edit, offset) => {
    const code = 'ERR_CORRUPT';
    // Without a space for the first extension the list begins with bytes of its own.
    const file = image(list.length === 0 ? [Uint8Array.of(0, 0, 0, 7)] : list, edit);
    expect(() => read(file)).toThrow(expect.objectContaining({ code, offset, file: 'x.qcow2' }));
  });

  it('refuses those that qemu-img refuses', async () => {
    const name = scratch('broken.qcow2');
    const files = [
      image([encodeExtension(7, new Uint8Array(393))]),
      image([encodeExtension(EXTENSION_TYPES.backingFormat, Buffer.alloc(16, 65))]),
      image([bitmaps(0, 64n, 512n)], withBitmaps),
      image([encodeExtension(EXTENSION_TYPES.encryption, new Uint8Array(24))], withLuks),
      image([luksPointer(520n, 592n)], withLuks),
    ];
    for (const file of files) {
      writeFileSync(name, Buffer.concat([file, Buffer.alloc(2048)]));
      expect((await run('qemu-img', ['info', '-f', 'qcow2', name])).status).toBe(1);
    }
  });

  it('refuses a name that is not UTF-8, and escapes it in the message', () => {
    const file = image([], withBackingFileAt(300, 4));
    file.write('\xff\x1b[m', 300, 'latin1');
    expect(() => read(file)).toThrow(
      expect.objectContaining({
        code: 'ERR_UNSUPPORTED',
        offset: 300,
        message: "The backing file's name in 'x.qcow2' at offset 300 is 'ÿ\\x1b[m', expected UTF-8",
      }),
    );
  });

  it('returns the content of any list, or throws a typed error', () => {
    const known = fc.constantFrom(...Object.values(EXTENSION_TYPES), 7);
    const extension = fc
      .tuple(known, fc.uint8Array({ maxLength: 60 }), fc.option(fc.nat(0xffffffff)))
      .map(([type, data, length]) => {
        const bytes = Buffer.from(encodeExtension(type, data));
        if (length !== null) bytes.writeUInt32BE(length, 4);
        return bytes;
      });
    fc.assert(
      fc.property(fc.array(extension), fc.nat(400), fc.nat(3), (list, backingAt, features) => {
        const file = image(list, (header) => {
          withDataFile(header);
          withBitmaps(header);
          if (features % 2 === 1) withBackingFileAt(112 + backingAt, 0)(header);
        });
        try {
          read(file);
        } catch (error) {
          if (!(error instanceof Qcow2cError) || error.code === 'ERR_INTERNAL') throw error;
        }
      }),
    );
  });
});
