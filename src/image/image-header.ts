/**
 * Reads the start of an image file: its format and, for qcow2, the contents of the first cluster. Any program with
 * write access to the file may have chosen these bytes, so none of them are trusted.
 */
import { isFileLost, Qcow2cError, quoted, reworded } from '../errors.js';
import { CRYPT_METHODS, decodeHeader, type Header } from '../qcow2/header.js';
import {
  decodeBackingName,
  decodeExtensions,
  type HeaderExtensions,
  headerAreaBytes,
} from '../qcow2/header-extensions.js';
import type { DiskState } from '../qcow2/qcow2-layer.js';
import { findSnapshot, type SnapshotSelector } from '../qcow2/snapshot-table.js';
import { decodeShownName, decodeStoredName } from '../qcow2/stored-name.js';
import { SECTOR_SIZE } from '../sector.js';
import type { ImageFormat } from './image-reference.js';
import { PROBE_BYTES, probeFormat } from './probe.js';
import type { OpenedFile } from './source.js';
import { type FormatOrigin, formatStatement } from './unstated-format.js';

/** Bytes read to decode a header: more than any accepted header has. */
const HEADER_BYTES = 4096;

/** A qcow2 image's file and the contents of its first cluster. */
export interface Qcow2ImageHeader {
  readonly file: OpenedFile;
  readonly header: Header;
  readonly extensions: HeaderExtensions;
  /** The backing file's name as stored in the image; undefined if it has none. */
  readonly backing: string | undefined;
}

/**
 * Probes the format of a file.
 * @param origin for messages
 * @throws Qcow2cError ERR_UNSUPPORTED for a known format that qcow2c does not read; ERR_IO
 */
export async function guessFormat(file: OpenedFile, origin: FormatOrigin): Promise<ImageFormat> {
  try {
    return await probe(file, origin);
  } catch (error) {
    if (!isReadError(error)) throw error;
    const how = formatStatement('FMT', origin);
    throw reworded(error, `${error.message}; the format cannot be probed: state it with ${how}`);
  }
}

async function probe(file: OpenedFile, origin?: FormatOrigin): Promise<ImageFormat> {
  const start = new Uint8Array(PROBE_BYTES);
  return probeFormat(start.subarray(0, await file.read(0, start)), file.name, origin);
}

/** Whether a read failed, but other reads of the file may succeed. */
function isReadError(error: unknown): error is Qcow2cError {
  return error instanceof Qcow2cError && error.code === 'ERR_IO' && !isFileLost(error);
}

/**
 * The format of an export if none was stated: raw. Its content is that of a guest's disk, and a guest could write the
 * header of an image onto its disk to have another file backed up.
 * @param onWarning called with one sentence if the export begins like an image
 */
export async function exportFormat(
  file: OpenedFile,
  onWarning: ((message: string) => void) | undefined,
): Promise<'raw'> {
  const found = await probe(file).catch((error: unknown) => {
    if (error instanceof Qcow2cError && error.code === 'ERR_UNSUPPORTED') return error.found;
    // If the run reads this range, it reports the error.
    if (isReadError(error)) return 'raw';
    throw error;
  });
  if (found !== 'raw') {
    const instead = found === 'qcow2' ? '; state the format qcow2 to read the image in it' : '';
    onWarning?.(
      `${quoted(file.name)} begins as an image in the format ${found}, and is read as a raw disk${instead}`,
    );
  }
  return 'raw';
}

/**
 * The purpose of opening an image. `content`: its clusters, and the files that it names, are read. `description`: only
 * its metadata is read, so it may be encrypted, and bytes in its names that are not UTF-8 are replaced.
 */
export type Purpose = 'content' | 'description';

/**
 * Reads and checks header, extensions and the backing file's name.
 * @throws Qcow2cError ERR_FORMAT, ERR_CORRUPT, ERR_UNSUPPORTED (also for an encrypted image opened for `content`);
 *   ERR_IO
 */
export async function readQcow2ImageHeader(
  file: OpenedFile,
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
 * Warns if the virtual size is not a multiple of a sector: like QEMU, qcow2c rounds it down.
 * @param onWarning called with one sentence
 */
export function warnOfCutDisk(
  { file, header: { virtualSize } }: { readonly file: { readonly name: string }; readonly header: Header },
  onWarning: ((message: string) => void) | undefined,
): void {
  const cut = virtualSize % SECTOR_SIZE;
  if (cut === 0) return;
  onWarning?.(
    `the virtual size of ${quoted(file.name)}, ${virtualSize} bytes, is not a multiple of ${SECTOR_SIZE}: the last ` +
      `${cut} bytes are ignored, as in QEMU`,
  );
}

function refuseEncryption({ cryptMethod }: Header, file: string): void {
  if (cryptMethod === CRYPT_METHODS.none) return;
  const method = cryptMethod === CRYPT_METHODS.aes ? 'AES' : 'LUKS';
  throw new Qcow2cError(
    'ERR_UNSUPPORTED',
    `${quoted(file)} is encrypted (${method}), which qcow2c does not read; decrypt it first with ` +
      "'qemu-img convert --object secret,... --image-opts ...'",
    { file, found: method },
  );
}

/**
 * Finds the tables of a snapshot.
 * @throws Qcow2cError as findSnapshot
 */
export async function snapshotState(
  { file, header }: Qcow2ImageHeader,
  selector: SnapshotSelector,
): Promise<DiskState> {
  const { l1Offset, l1Entries } = await findSnapshot(file, header, selector);
  return { l1Offset, l1Entries, virtualSize: header.virtualSize };
}
