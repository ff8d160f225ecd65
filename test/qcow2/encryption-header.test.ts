import { describe, expect, it } from 'vitest';
import { hostOffset } from '../../src/qcow2/addresses.js';
import { readEncryption } from '../../src/qcow2/encryption-header.js';
import { CRYPT_METHODS } from '../../src/qcow2/header.js';
import { MemoryFile } from './memory-file.js';

const CLUSTER = 4096;
const START = {
  header: { cryptMethod: CRYPT_METHODS.luks },
  extensions: { luksHeader: { offset: hostOffset(CLUSTER), length: 592 } },
};

interface Luks {
  readonly magic?: string;
  readonly version?: number;
  readonly cipher?: string;
  readonly mode?: string;
  readonly keyBytes?: number;
}

function luks(header: Luks = {}): Buffer {
  const { magic = 'LUKS\xba\xbe', version = 1, cipher = 'aes', mode = 'xts-plain64', keyBytes = 64 } = header;
  const bytes = Buffer.alloc(592);
  bytes.write(magic, 0, 'latin1');
  bytes.writeUInt16BE(version, 6);
  bytes.write(cipher, 8);
  bytes.write(mode, 40);
  bytes.write('sha256', 72);
  bytes.writeUInt32BE(4040, 104);
  bytes.writeUInt32BE(keyBytes, 108);
  bytes.writeUInt32BE(99, 164);
  bytes.write('dc40d6e9-0c06-402a-a89b-b7536950abba', 168);
  for (let slot = 0; slot < 8; slot += 1) {
    const at = 208 + slot * 48;
    bytes.writeUInt32BE(slot === 1 ? 0x00ac71f3 : 0x0000dead, at);
    bytes.writeUInt32BE(1000 + slot, at + 4);
    bytes.writeUInt32BE(8 + 504 * slot, at + 40);
    bytes.writeUInt32BE(4000, at + 44);
  }
  return bytes;
}

/** An image with a LUKS header in the second cluster. */
function image(header: Buffer): MemoryFile {
  return new MemoryFile(Buffer.concat([Buffer.alloc(CLUSTER), header]));
}

describe('readEncryption', () => {
  it('finds nothing in an image without encryption, and AES without reading the file', async () => {
    const file = image(luks());
    const withMethod = (cryptMethod: number) => ({ header: { cryptMethod }, extensions: {} });
    expect(await readEncryption(file, withMethod(CRYPT_METHODS.none))).toBeUndefined();
    expect(await readEncryption(file, withMethod(CRYPT_METHODS.aes))).toEqual({ format: 'aes' });
    expect(file.reads).toEqual([]);
  });

  it('reads a LUKS header', async () => {
    expect(await readEncryption(image(luks()), START)).toEqual({
      format: 'luks',
      cipher: 'aes-256',
      cipherMode: 'xts',
      ivGenerator: 'plain64',
      ivHash: undefined,
      hash: 'sha256',
      uuid: 'dc40d6e9-0c06-402a-a89b-b7536950abba',
      payloadOffset: 4040 * 512,
      masterKeyIterations: 99,
      slots: Array.from({ length: 8 }, (_, slot) => ({
        keyOffset: (8 + 504 * slot) * 512,
        active: slot === 1 ? { iterations: 1001, stripes: 4000 } : undefined,
      })),
    });
  });

  it.each<[Luks, object]>([
    [
      { cipher: 'serpent', mode: 'cbc-essiv:sha256', keyBytes: 16 },
      { cipher: 'serpent-128', cipherMode: 'cbc', ivGenerator: 'essiv', ivHash: 'sha256' },
    ],
    [
      { mode: 'ecb', keyBytes: 24 },
      { cipher: 'aes-192', cipherMode: 'ecb', ivGenerator: undefined, ivHash: undefined },
    ],
    [{ cipher: 'c'.repeat(32) }, { cipher: `${'c'.repeat(32)}-256`, cipherMode: 'xts' }],
  ])('reads %j', async (header, words) => {
    expect(await readEncryption(image(luks(header)), START)).toMatchObject(words);
  });

  it.each<[string, MemoryFile]>([
    ['another magic', image(luks({ magic: 'LUKS\xba\xbf' }))],
    ['a header that the file ends in', image(luks().subarray(0, 591))],
    ['a place past the file', image(Buffer.alloc(0))],
  ])('refuses %s', async (_, file) => {
    await expect(readEncryption(file, START)).rejects.toMatchObject({
      code: 'ERR_CORRUPT',
      message: "'x.qcow2' is encrypted, but has no LUKS header where it must be",
    });
  });

  it('refuses another version of LUKS', async () => {
    await expect(readEncryption(image(luks({ version: 2 })), START)).rejects.toMatchObject({
      code: 'ERR_UNSUPPORTED',
      message: "'x.qcow2' is encrypted with LUKS version 2, which is not supported",
    });
  });

  it('refuses an image that does not name the place of its LUKS header', async () => {
    await expect(readEncryption(image(luks()), { ...START, extensions: {} })).rejects.toMatchObject({
      code: 'ERR_CORRUPT',
      message: "'x.qcow2' is encrypted with LUKS, but its header does not say where the LUKS header is",
    });
  });
});
