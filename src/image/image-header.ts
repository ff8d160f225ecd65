/**
 * What the start of a file says of it: which format it has, and what a qcow2 image keeps in its first cluster.
 * Used by whoever opens images. Everything in it was chosen by whoever could write to the file.
 */
import { Qcow2cError, quoted } from '../errors.js';
import { decodeHeader, type Header } from '../qcow2/header.js';
import {
  decodeBackingName,
  decodeExtensions,
  type HeaderExtensions,
  headerAreaBytes,
} from '../qcow2/header-extensions.js';
import type { ImageState } from '../qcow2/qcow2-layer.js';
import { findSnapshot, type SnapshotSelector } from '../qcow2/snapshot-table.js';
import { decodeShownName, decodeStoredName } from '../qcow2/stored-name.js';
import type { RawSource } from '../raw/raw-source.js';
import { SECTOR_SIZE } from '../sector.js';
import type { ImageFormat } from './image-reference.js';
import { PROBE_BYTES, probeFormat } from './probe.js';

/** Bytes read to decode a header: more than any header that is accepted here. */
const HEADER_BYTES = 4096;

/** A qcow2 image's file and what its first cluster says. */
export interface Qcow2ImageHeader {
  readonly file: RawSource;
  readonly header: Header;
  readonly extensions: HeaderExtensions;
  /** The backing file's name as it stands in the image; undefined: it has none. */
  readonly backing: string | undefined;
}

/** @throws Qcow2cError ERR_UNSUPPORTED for a format that is recognised but not read; ERR_IO */
export async function guessFormat(file: RawSource): Promise<ImageFormat> {
  const start = new Uint8Array(PROBE_BYTES);
  return probeFormat(start.subarray(0, await file.read(0, start)), file.name);
}

/**
 * What an image is opened for. Content: its clusters are read, and the files that it names. Description: only what it
 * says of itself is wanted, so it may be encrypted, and what is not UTF-8 in its names is replaced.
 */
export type Purpose = 'content' | 'description';

/**
 * Reads and checks header, extensions and the backing file's name.
 * @throws Qcow2cError ERR_FORMAT, ERR_CORRUPT, ERR_UNSUPPORTED (for its content, encrypted images too); ERR_IO
 */
export async function readQcow2ImageHeader(
  file: RawSource,
  purpose: Purpose = 'content',
): Promise<Qcow2ImageHeader> {
  const first = new Uint8Array(HEADER_BYTES);
  const header = decodeHeader(first.subarray(0, await file.read(0, first)), file.name);
  if (purpose === 'content') refuseEncryption(header, file.name);
  const decodeName = purpose === 'content' ? decodeStoredName : decodeShownName;
  const area = new Uint8Array(headerAreaBytes(header));
  const bytes = area.subarray(0, await file.read(0, area));
  const extensions = decodeExtensions(bytes, header, file.name, decodeName);
  return { file, header, extensions, backing: decodeBackingName(bytes, header, file.name, decodeName) };
}

/**
 * Warns where QEMU, and so qcow2c, leaves off the end of a disk: both count in whole sectors.
 * @param onWarning called with a sentence
 */
export function warnOfCutDisk(
  { file, header: { virtualSize } }: { readonly file: { readonly name: string }; readonly header: Header },
  onWarning: ((message: string) => void) | undefined,
): void {
  const cut = virtualSize % SECTOR_SIZE;
  if (cut === 0) return;
  onWarning?.(
    `the virtual size of ${quoted(file.name)}, ${virtualSize} bytes, is no multiple of ${SECTOR_SIZE}: its last ` +
      `${cut} bytes are left off, as QEMU does`,
  );
}

function refuseEncryption({ cryptMethod }: Header, file: string): void {
  if (cryptMethod === 0) return;
  const method = cryptMethod === 1 ? 'AES' : 'LUKS';
  throw new Qcow2cError(
    'ERR_UNSUPPORTED',
    `${quoted(file)} is encrypted (${method}), and qcow2c has no keys; decrypt it first, with ` +
      "'qemu-img convert --object secret,... --image-opts ...'",
    { file, found: method },
  );
}

/**
 * Where a snapshot's clusters are found.
 * @throws Qcow2cError as findSnapshot
 */
export async function snapshotState(
  { file, header }: Qcow2ImageHeader,
  selector: SnapshotSelector,
): Promise<ImageState> {
  const { l1Offset, l1Entries } = await findSnapshot(file, header, selector);
  return { l1Offset, l1Entries, virtualSize: header.virtualSize };
}
