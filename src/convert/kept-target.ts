/**
 * Reads what `-n` writes into: an existing qcow2 image without guest data. It keeps its size, cluster
 * size, compression type and version; only its content is new.
 */
import { Qcow2cError, quoted } from '../errors.js';
import type { ImageParameters } from '../qcow2/create-options.js';
import {
  COMPATIBLE_LAZY_REFCOUNTS,
  INCOMPATIBLE_COMPRESSION_TYPE,
  INCOMPATIBLE_DATA_FILE,
  INCOMPATIBLE_EXTENDED_L2,
} from '../qcow2/features.js';
import { geometry, TABLE_ENTRY_BYTES } from '../qcow2/geometry.js';
import { decodeHeader, type Header } from '../qcow2/header.js';
import { openRawSource, type RawSource } from '../raw/raw-source.js';

/** Bytes read to decode a header: more than any header, its extensions included, that is accepted here. */
const HEADER_BYTES = 4096;
/** Features that a new header of the same kind has again. */
const KEPT_FEATURES = INCOMPATIBLE_COMPRESSION_TYPE | INCOMPATIBLE_EXTENDED_L2;
/** Bytes of an L1 table looked at in one read. */
const READ_BYTES = 65536;

export interface KeptImage {
  readonly parameters: ImageParameters;
  /** Bytes. */
  readonly virtualSize: number;
}

/**
 * @param name the image that is to be written into
 * @param neededSize bytes of guest data that shall fit
 * @throws Qcow2cError ERR_IO, ERR_FORMAT, ERR_CORRUPT; ERR_UNSUPPORTED when the image holds guest data or
 *   something that would be lost; ERR_USAGE when it is too small
 */
export async function readKeptImage(name: string, neededSize: number): Promise<KeptImage> {
  const file = await openRawSource(name, false);
  try {
    const start = new Uint8Array(HEADER_BYTES);
    const header = decodeHeader(start.subarray(0, await file.read(0, start)), name);
    refuseContent(header, name);
    await refuseMappedClusters(file, header);
    const { version, virtualSize, compressionType } = header;
    if (virtualSize < neededSize) {
      throw new Qcow2cError(
        'ERR_USAGE',
        `output file is smaller than input file: the disk in ${quoted(name)} has ${virtualSize} bytes, ` +
          `and ${neededSize} are needed`,
        { file: name, expected: neededSize, found: virtualSize },
      );
    }
    const lazyRefcounts = (header.compatibleFeatures & COMPATIBLE_LAZY_REFCOUNTS) !== 0n;
    const extendedL2 = (header.incompatibleFeatures & INCOMPATIBLE_EXTENDED_L2) !== 0n;
    const parameters: ImageParameters = {
      version,
      geometry: geometry(header.clusterBits, 2 ** header.refcountOrder, extendedL2),
      compressionType,
      lazyRefcounts,
      preallocation: 'off',
    };
    return { parameters, virtualSize };
  } finally {
    await file.close();
  }
}

/** Writing a new header would lose all of this. */
function refuseContent(header: Header, name: string): void {
  const obstacles: readonly (readonly [boolean, string])[] = [
    [header.backingFileOffset !== 0, 'it has a backing file'],
    [header.snapshotCount !== 0, 'it has internal snapshots'],
    [header.cryptMethod !== 0, 'it is encrypted'],
    [header.autoclearFeatures !== 0n, 'it has bitmaps'],
    [(header.incompatibleFeatures & INCOMPATIBLE_DATA_FILE) !== 0n, 'it has an external data file'],
    [
      (header.incompatibleFeatures & ~KEPT_FEATURES) !== 0n,
      'it is dirty, corrupt or has features that would be lost',
    ],
  ];
  const found = obstacles.find(([isThere]) => isThere)?.[1];
  if (found === undefined) return;
  throw new Qcow2cError('ERR_UNSUPPORTED', `Cannot write into ${quoted(name)}: ${found}`, {
    file: name,
    found,
  });
}

/** An image is empty when its L1 table points nowhere. */
async function refuseMappedClusters(file: RawSource, { l1Offset, l1Entries }: Header): Promise<void> {
  const bytes = new Uint8Array(READ_BYTES);
  const end = l1Offset + l1Entries * TABLE_ENTRY_BYTES;
  for (let at: number = l1Offset; at < end; at += READ_BYTES) {
    const part = bytes.subarray(0, Math.min(READ_BYTES, end - at));
    const length = await file.read(at, part);
    if (part.subarray(0, length).some((byte) => byte !== 0)) {
      throw new Qcow2cError(
        'ERR_UNSUPPORTED',
        `Cannot write into ${quoted(file.name)}: it holds guest data or preallocated clusters already`,
        { file: file.name, offset: at },
      );
    }
  }
}
