/**
 * An image to be checked: its header, which may have values that can be repaired; and its file, which reads as zeros
 * past its end.
 */
import { Qcow2cError, quoted } from '../errors.js';
import { readU64 } from '../qcow2/be64.js';
import { EXTENSION_TYPES, forEachExtension } from '../qcow2/extension-list.js';
import { hasDataFile } from '../qcow2/features.js';
import { clusterSizeOf, type Geometry, geometryOf } from '../qcow2/geometry.js';
import { decodeRepairableHeader, type Header } from '../qcow2/header.js';
import { decodeExtensions, type HeaderExtensions, headerAreaBytes } from '../qcow2/header-extensions.js';
import { decodeShownName } from '../qcow2/stored-name.js';
import { SECTOR_SIZE } from '../sector.js';
import type { Storage } from '../storage/storage.js';

/** Bytes read to decode a header: more than any header that is accepted. */
const HEADER_BYTES = 4096;
const LUKS = 2;

/** An image's file: its length in bytes, rounded to whole sectors, and reads up to that. */
export type ImageFile = Pick<Storage, 'name' | 'read'> & { readonly size: number };

/** A range of the file in bytes. */
export interface FilePlace {
  readonly offset: number;
  readonly length: number;
}

export interface CheckedImage {
  /** Reads past the end of the file return zeros, as in QEMU, so every read is complete. */
  readonly file: ImageFile;
  /** Bytes of the file; its last sector may be incomplete. */
  readonly end: number;
  /**
   * Valid, except for the snapshot count, which may have any value, and the refcount table, which may be empty or at
   * offset 0.
   */
  readonly header: Header;
  readonly extensions: HeaderExtensions;
  readonly geometry: Geometry;
  /** Guest data are in an external data file. */
  readonly hasDataFile: boolean;
  /** The LUKS header. */
  readonly encryptionHeader: FilePlace | undefined;
}

/**
 * Reads the header and its extensions.
 * @throws Qcow2cError ERR_FORMAT, ERR_CORRUPT, ERR_UNSUPPORTED as `decodeRepairableHeader` and `decodeExtensions`; ERR_IO
 */
export async function readCheckedImage(file: ImageFile): Promise<CheckedImage> {
  const memory = new Uint8Array(HEADER_BYTES);
  const first = memory.subarray(0, await file.read(0, memory));
  const header = decodeRepairableHeader(first, file.name);
  const area = new Uint8Array(headerAreaBytes(header));
  const bytes = area.subarray(0, await file.read(0, area));
  const extensions = decodeExtensions(bytes, header, file.name, decodeShownName);
  return {
    file: padded(file),
    end: await endOf(file),
    header,
    extensions,
    geometry: geometryOf(header),
    hasDataFile: hasDataFile(header),
    encryptionHeader: header.cryptMethod === LUKS ? encryptionHeaderOf(area, header, file.name) : undefined,
  };
}

/** Clusters of the virtual disk. QEMU rounds a size that is not a multiple of a sector down. */
export function diskClusters({ header, geometry }: CheckedImage): number {
  return Math.ceil(Math.floor(header.virtualSize / SECTOR_SIZE) / (geometry.clusterSize / SECTOR_SIZE));
}

/** Specification: "Full disk encryption header pointer". */
function encryptionHeaderOf(area: Uint8Array, header: Header, file: string): FilePlace | undefined {
  const { headerLength, backingFileOffset } = header;
  const clusterSize = clusterSizeOf(header);
  const end = backingFileOffset === 0 ? clusterSize : backingFileOffset;
  let place: FilePlace | undefined;
  forEachExtension(area.subarray(headerLength, end), (type, data) => {
    if (type !== EXTENSION_TYPES.encryption || data.length < 16) return;
    const [offset, length] = [Number(readU64(data, 0)), Number(readU64(data, 8))];
    if (Number.isSafeInteger(offset + length) && offset % clusterSize === 0) place = { offset, length };
  });
  if (place !== undefined) return place;
  throw new Qcow2cError(
    'ERR_CORRUPT',
    `${quoted(file)} is encrypted with LUKS, but its header does not say where the LUKS header is`,
    { file },
  );
}

/** The exact end of the file inside its last sector. */
async function endOf(file: ImageFile): Promise<number> {
  const start = Math.max(0, file.size - SECTOR_SIZE);
  return start + (await file.read(start, new Uint8Array(SECTOR_SIZE)));
}

function padded(file: ImageFile): ImageFile {
  return {
    name: file.name,
    size: file.size,
    read: async (offset, into) => {
      const found = offset < file.size ? await file.read(offset, into) : 0;
      into.fill(0, found);
      return into.length;
    },
  };
}
