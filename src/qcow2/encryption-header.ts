/**
 * Describes the encryption of an image, which needs no key. Specification: "Full disk encryption header pointer"; LUKS
 * On-Disk Format Specification 1.2.3, "The partition header".
 *
 *     LUKS header: magic (6 bytes), version (2), cipher_name (32), cipher_mode (32), hash_spec (32),
 *                  payload_offset (4), key_bytes (4), mk_digest (20), mk_digest_salt (32), mk_digest_iter (4),
 *                  uuid (40), 8 key slots
 *     a key slot:  active (4), iterations (4), salt (32), key_material_offset (4), stripes (4)
 */
import { Qcow2cError, quoted } from '../errors.js';
import { SECTOR_SIZE } from '../sector.js';
import type { Storage } from '../storage/storage.js';
import { readU32, readU64 } from './be64.js';
import { EXTENSION_TYPES, forEachExtension } from './extension-list.js';
import { clusterSizeOf } from './geometry.js';
import type { Header } from './header.js';
import { headerAreaBytes } from './header-extensions.js';

/** Values of crypt_method in the header. */
const AES = 1;

const POINTER_BYTES = 16;
const LUKS_BYTES = 592;
/** "LUKS", 0xba, 0xbe. */
const LUKS_MAGIC = 'LUKS\xba\xbe';
const LUKS_VERSION = 1;
const SLOTS = 8;
const SLOT_AT = 208;
const SLOT_BYTES = 48;
const SLOT_ENABLED = 0x00ac71f3;

/** Text fields are copied from the file and not interpreted. */
export interface LuksEncryption {
  readonly format: 'luks';
  /** Cipher with its key length in bits: aes-256. */
  readonly cipher: string;
  readonly cipherMode: string;
  /** Generator of initialization vectors; undefined if the mode names none. */
  readonly ivGenerator: string | undefined;
  readonly ivHash: string | undefined;
  readonly hash: string;
  readonly uuid: string;
  /** Offset of the data in a LUKS volume, from the LUKS header, in bytes. */
  readonly payloadOffset: number;
  readonly masterKeyIterations: number;
  readonly slots: readonly KeySlot[];
}

export interface KeySlot {
  /** From the LUKS header, in bytes. */
  readonly keyOffset: number;
  /** undefined: the slot holds no key. */
  readonly active: { readonly iterations: number; readonly stripes: number } | undefined;
}

export type Encryption = { readonly format: 'aes' } | LuksEncryption;

/**
 * @param file the image
 * @param header the image's header
 * @returns undefined for an image that is not encrypted
 * @throws Qcow2cError ERR_CORRUPT when the LUKS header is missing, ERR_UNSUPPORTED for another version of it; ERR_IO
 */
export async function readEncryption(
  file: Pick<Storage, 'name' | 'read'>,
  header: Pick<
    Header,
    'cryptMethod' | 'clusterBits' | 'headerLength' | 'backingFileOffset' | 'backingFileSize'
  >,
): Promise<Encryption | undefined> {
  if (header.cryptMethod === 0) return undefined;
  if (header.cryptMethod === AES) return { format: 'aes' };
  const offset = await luksOffset(file, header);
  const bytes = new Uint8Array(LUKS_BYTES);
  const found = offset === undefined ? 0 : await file.read(offset, bytes);
  const magic = Buffer.from(bytes.subarray(0, LUKS_MAGIC.length)).toString('latin1');
  if (found < LUKS_BYTES || magic !== LUKS_MAGIC) {
    const message = `${quoted(file.name)} is encrypted, but has no LUKS header where it must be`;
    throw new Qcow2cError('ERR_CORRUPT', message, { file: file.name, offset });
  }
  const version = readU32(bytes, 4) % 0x10000;
  if (version !== LUKS_VERSION) {
    const message = `${quoted(file.name)} is encrypted with LUKS version ${version}, which is not supported`;
    throw new Qcow2cError('ERR_UNSUPPORTED', message, {
      file: file.name,
      offset,
      expected: LUKS_VERSION,
      found: version,
    });
  }
  return decodeLuks(bytes);
}

/** Offset of the LUKS header according to the extension, in bytes; undefined if it is invalid. */
async function luksOffset(
  file: Pick<Storage, 'read'>,
  header: Parameters<typeof headerAreaBytes>[0],
): Promise<number | undefined> {
  const area = new Uint8Array(headerAreaBytes(header));
  const bytes = area.subarray(0, await file.read(0, area));
  const end = header.backingFileOffset === 0 ? bytes.length : header.backingFileOffset;
  let offset: number | undefined;
  forEachExtension(bytes.subarray(header.headerLength, end), (type, data) => {
    if (type !== EXTENSION_TYPES.encryption || data.length !== POINTER_BYTES) return;
    const value = Number(readU64(data, 0));
    offset = value % clusterSizeOf(header) === 0 && Number.isSafeInteger(value) ? value : undefined;
  });
  return offset;
}

function decodeLuks(bytes: Uint8Array): LuksEncryption {
  const mode = text(bytes, 40, 32);
  const [cipherMode = '', generator] = splitOnce(mode, '-');
  const [ivGenerator, ivHash] = generator === undefined ? [] : splitOnce(generator, ':');
  // XTS takes two keys of the cipher's length.
  const keyBits = (readU32(bytes, 108) * 8) / (cipherMode === 'xts' ? 2 : 1);
  return {
    format: 'luks',
    cipher: `${text(bytes, 8, 32)}-${keyBits}`,
    cipherMode,
    ivGenerator,
    ivHash,
    hash: text(bytes, 72, 32),
    uuid: text(bytes, 168, 40),
    payloadOffset: readU32(bytes, 104) * SECTOR_SIZE,
    masterKeyIterations: readU32(bytes, 164),
    slots: Array.from({ length: SLOTS }, (_, index) => decodeSlot(bytes, SLOT_AT + index * SLOT_BYTES)),
  };
}

function decodeSlot(bytes: Uint8Array, at: number): KeySlot {
  const isActive = readU32(bytes, at) === SLOT_ENABLED;
  return {
    keyOffset: readU32(bytes, at + 40) * SECTOR_SIZE,
    active: isActive ? { iterations: readU32(bytes, at + 4), stripes: readU32(bytes, at + 44) } : undefined,
  };
}

/** Decodes text up to a NUL. @param length of its field, in bytes */
function text(bytes: Uint8Array, at: number, length: number): string {
  const [word = ''] = Buffer.from(bytes.subarray(at, at + length))
    .toString('utf8')
    .split('\0');
  return word;
}

/** Splits at the first `separator`. */
function splitOnce(word: string, separator: string): [string, string | undefined] {
  const at = word.indexOf(separator);
  return at < 0 ? [word, undefined] : [word.slice(0, at), word.slice(at + 1)];
}
