/**
 * An image to be checked: its header, which may have values that can be repaired; and its file, which reads as zeros
 * past its end.
 */
import { luksHeaderOf } from '../qcow2/encryption-header.js';
import { hasDataFile } from '../qcow2/features.js';
import { type Geometry, geometryOf } from '../qcow2/geometry.js';
import { decodeRepairableHeader, type Header } from '../qcow2/header.js';
import {
  decodeExtensions,
  type HeaderExtensions,
  headerAreaBytes,
  type LuksHeaderPlace,
} from '../qcow2/header-extensions.js';
import { decodeShownName } from '../qcow2/stored-name.js';
import { SECTOR_SIZE } from '../sector.js';
import type { Storage } from '../storage/storage.js';

/** Bytes read to decode a header: more than any header that is accepted. */
const HEADER_BYTES = 4096;

/** An image's file: its length in bytes, rounded to whole sectors, and reads up to that. */
export type CheckedFile = Pick<Storage, 'name' | 'read'> & { readonly size: number };

export interface CheckedImage {
  /** Reads past the end of the file return zeros, as in QEMU, so every read is complete. */
  readonly file: CheckedFile;
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
  /** The LUKS header and its keys. */
  readonly luksHeader: LuksHeaderPlace | undefined;
}

/**
 * Reads the header and its extensions.
 * @throws Qcow2cError ERR_FORMAT, ERR_CORRUPT, ERR_UNSUPPORTED as `decodeRepairableHeader`, `decodeExtensions` and `luksHeaderOf`; ERR_IO
 */
export async function readCheckedImage(file: CheckedFile): Promise<CheckedImage> {
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
    luksHeader: luksHeaderOf({ header, extensions }, file.name),
  };
}

/** Clusters of the virtual disk. QEMU rounds a size that is not a multiple of a sector down. */
export function diskClusters({ header, geometry }: CheckedImage): number {
  return Math.ceil(Math.floor(header.virtualSize / SECTOR_SIZE) / (geometry.clusterSize / SECTOR_SIZE));
}

/** The exact end of the file inside its last sector. */
async function endOf(file: CheckedFile): Promise<number> {
  const start = Math.max(0, file.size - SECTOR_SIZE);
  return start + (await file.read(start, new Uint8Array(SECTOR_SIZE)));
}

function padded(file: CheckedFile): CheckedFile {
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
