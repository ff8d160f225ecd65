/**
 * Describes the encryption of an image, which needs no key. LUKS On-Disk Format Specification 1.2.3, "The partition
 * header".
 *
 *     LUKS header: magic (6 bytes), version (2), cipher_name (32), cipher_mode (32), hash_spec (32),
 *                  payload_offset (4), key_bytes (4), mk_digest (20), mk_digest_salt (32), mk_digest_iter (4),
 *                  uuid (40), 8 key slots
 *     a key slot:  active (4), iterations (4), salt (32), key_material_offset (4), stripes (4)
 */
import { Qcow2cError, quoted } from '../errors.js';
import { SECTOR_SIZE } from '../sector.js';
import type { Storage } from '../storage/storage.js';
import { readU32 } from './be64.js';
import { CRYPT_METHODS, type Header } from './header.js';
import { type HeaderExtensions, LUKS_HEADER_BYTES, type LuksHeaderPlace } from './header-extensions.js';

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

/** The decoded start of an image, as far as it concerns encryption. */
interface EncryptedStart {
  readonly header: Pick<Header, 'cryptMethod'>;
  readonly extensions: Pick<HeaderExtensions, 'luksHeader'>;
}

/**
 * Finds the LUKS header, whose bytes are not checked.
 * @param file the image's name, for messages
 * @returns undefined for an image that is not encrypted with LUKS
 * @throws Qcow2cError ERR_CORRUPT when the image does not name its place
 */
export function luksHeaderOf(
  { header, extensions: { luksHeader } }: EncryptedStart,
  file: string,
): LuksHeaderPlace | undefined {
  if (header.cryptMethod !== CRYPT_METHODS.luks || luksHeader !== undefined) return luksHeader;
  const message = `${quoted(file)} is encrypted with LUKS, but its header does not say where the LUKS header is`;
  throw new Qcow2cError('ERR_CORRUPT', message, { file });
}

/**
 * @param file the image
 * @param start its header and extensions
 * @returns undefined for an image that is not encrypted
 * @throws Qcow2cError ERR_CORRUPT when the LUKS header is missing, ERR_UNSUPPORTED for another version of it; ERR_IO
 */
export async function readEncryption(
  file: Pick<Storage, 'name' | 'read'>,
  start: EncryptedStart,
): Promise<Encryption | undefined> {
  const place = luksHeaderOf(start, file.name);
  if (place === undefined) {
    return start.header.cryptMethod === CRYPT_METHODS.aes ? { format: 'aes' } : undefined;
  }
  const { offset } = place;
  const bytes = new Uint8Array(LUKS_HEADER_BYTES);
  const found = await file.read(offset, bytes);
  const magic = Buffer.from(bytes.subarray(0, LUKS_MAGIC.length)).toString('latin1');
  if (found < LUKS_HEADER_BYTES || magic !== LUKS_MAGIC) {
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
