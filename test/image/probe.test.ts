import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PROBE_BYTES, probeFormat } from '../../src/image/probe.js';
import { useScratch } from '../e2e/scratch.js';
import { runOk } from '../oracle/run.js';

const scratch = useScratch();

function startOf(file: string): Buffer {
  return readFileSync(file).subarray(0, PROBE_BYTES);
}

describe('the first bytes of a file', () => {
  test.each(['1.1', '0.10'])('of an image of qemu-img are qcow2, compat %s', async (compat) => {
    const file = scratch(`${compat}.qcow2`);
    await runOk('qemu-img', ['create', '-q', '-f', 'qcow2', '-o', `compat=${compat}`, file, '1M']);
    expect(probeFormat(startOf(file), file)).toBe('qcow2');
  });

  test.each([
    ['qcow', ['-f', 'qcow']],
    ['qed', ['-f', 'qed']],
    ['vmdk', ['-f', 'vmdk', '-o', 'subformat=monolithicSparse']],
    ['vmdk', ['-f', 'vmdk', '-o', 'subformat=monolithicFlat']],
    ['vdi', ['-f', 'vdi']],
    ['vhdx', ['-f', 'vhdx']],
    ['vpc', ['-f', 'vpc', '-o', 'subformat=dynamic']],
    ['parallels', ['-f', 'parallels']],
  ])('of an image of qemu-img are %s, for all options: refused with advice', async (format, args) => {
    const file = scratch(`${args.join('-').replaceAll(/[^a-z]/gi, '')}.${format}`);
    await runOk('qemu-img', ['create', '-q', ...args, file, '1M']);
    expect(() => probeFormat(startOf(file), file)).toThrow(
      expect.objectContaining({
        code: 'ERR_UNSUPPORTED',
        file,
        found: format,
        message: expect.stringMatching(
          new RegExp(
            `^'${file}' looks like a ${format} image( \\(.*\\))?, which qcow2c does not read; convert it to qcow2 first: ` +
              `'qemu-img convert -f ${format} -O qcow2'; if it is a raw disk, say so with -f raw$`,
          ),
        ),
      }),
    );
  });

  test.each([
    ['gzip', 'zcat'],
    ['xz', 'xzcat'],
    ['bzip2', 'bzcat'],
  ])('of %s, also of an empty file, are refused with the command to decompress it', async (format, cat) => {
    for (const content of ['', 'a disk'.repeat(1000)]) {
      const file = scratch(`compressed-${content.length}-${format}.bin`);
      await runOk('7z', ['a', '-bd', `-t${format}`, '-si', file], { stdin: content });
      expect(() => probeFormat(startOf(file), file)).toThrow(
        expect.objectContaining({
          code: 'ERR_UNSUPPORTED',
          file,
          found: format,
          message:
            `'${file}' looks like a file compressed with ${format}; decompress it first, or convert the decompressed stream: ` +
            `'${cat} FILE | qcow2c convert -c - OUT'; if it is a raw disk, say so with -f raw`,
        }),
      );
    }
  });

  test('of any other file, also of a short or empty one, are a raw disk', () => {
    for (const bytes of [
      '',
      'Q',
      'QFI',
      'QFJ\xfb\0\0\0\x03',
      'xQFI\xfb',
      '\xeb\x58\x90mkfs.fat',
      'KDM',
      'BZh01AY&SY',
      '\x1f\x8b\x07',
    ]) {
      expect(probeFormat(Buffer.from(bytes, 'latin1'), 'x')).toBe('raw');
    }
    expect(probeFormat(new Uint8Array(PROBE_BYTES), 'x')).toBe('raw');
  });

  test.each([
    ['qcow', 'QFI\xfb\0\0\0\x01'],
    // cryptsetup's header, versions 1 and 2.
    ['luks', 'LUKS\xba\xbe\0\x01'],
    ['luks', 'LUKS\xba\xbe\0\x02'],
    ['vmdk', 'COWD\x01\0\0\0'],
    ['parallels', 'WithoutFreeSpace\x02'],
    ['gzip', '\x1f\x8b\x08\0'],
    ['zstd', '\x28\xb5\x2f\xfd\x04'],
    ['zstd', '\x5f\x2a\x4d\x18\x04\0\0\0'],
    ['bzip2', 'BZh9\x17rE8P\x90'],
    ['lz4', '\x04\x22\x4d\x18'],
    ['lzip', 'LZIP\x01\x0c'],
    ['lzop', '\x89LZO\0\r\n\x1a\n'],
    ['zip', 'PK\x03\x04'],
    ['7z', '7z\xbc\xaf\x27\x1c'],
  ])('are %s by the magic number of its specification', (format, bytes) => {
    expect(() => probeFormat(Buffer.from(bytes, 'latin1'), 'x')).toThrow(
      expect.objectContaining({ code: 'ERR_UNSUPPORTED', found: format }),
    );
  });

  test('never fail with any other error, for any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), (bytes) => {
        expect(probeFormat(bytes, 'x')).toBe('raw');
      }),
    );
  });
});
