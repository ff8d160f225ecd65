/** Describes a qcow2 image from its header, snapshot table and bitmap directory. Used by info. */
import type { Qcow2ImageHeader } from '../image/image-header.js';
import { backingFilePath } from '../image/image-name.js';
import { protocolOf } from '../image/protocol.js';
import { isNbdName } from '../nbd/nbd-name.js';
import { readBitmapDirectory } from '../qcow2/bitmap-directory.js';
import { readEncryption } from '../qcow2/encryption-header.js';
import {
  AUTOCLEAR_RAW_DATA_FILE,
  COMPATIBLE_LAZY_REFCOUNTS,
  hasDataFile,
  hasExtendedL2,
  INCOMPATIBLE_CORRUPT,
  INCOMPATIBLE_DIRTY,
} from '../qcow2/features.js';
import { clusterSizeOf, geometryOf } from '../qcow2/geometry.js';
import { type SnapshotEntry, snapshotEntries, snapshotTableReader } from '../qcow2/snapshot-entry.js';
import { decodeShownName } from '../qcow2/stored-name.js';
import type { BackingInfo, BitmapInfo, DataFileInfo, Qcow2Info, SnapshotInfo } from './image-info.js';

/** QEMU's longest names in a list of snapshots (QEMUSnapshotInfo), in bytes without the NUL. */
const MAX_ID_BYTES = 127;
const MAX_NAME_BYTES = 255;

/**
 * @param start the header of an image opened for its description
 * @throws Qcow2cError ERR_CORRUPT, ERR_UNSUPPORTED for tables that QEMU refuses too; ERR_IO
 */
export async function describeQcow2(start: Qcow2ImageHeader): Promise<Omit<Qcow2Info, 'deep'>> {
  const { file, header, extensions } = start;
  const incompatible = (feature: bigint) => (header.incompatibleFeatures & feature) !== 0n;
  return {
    version: header.version,
    clusterSize: clusterSizeOf(header),
    compressionType: header.compressionType,
    refcountBits: geometryOf(header).refcountBits,
    lazyRefcounts: (header.compatibleFeatures & COMPATIBLE_LAZY_REFCOUNTS) !== 0n,
    dirty: incompatible(INCOMPATIBLE_DIRTY),
    corrupt: incompatible(INCOMPATIBLE_CORRUPT),
    extendedL2: hasExtendedL2(header),
    encryption: await readEncryption(file, start),
    backing: backingOf(start),
    dataFile: dataFileOf(start),
    bitmaps: await bitmapsOf(start),
    staleBitmaps: extensions.staleBitmaps === true,
    snapshots: await snapshotsOf(start),
  };
}

function backingOf({ file, backing: name, extensions }: Qcow2ImageHeader): BackingInfo | undefined {
  if (name === undefined) return undefined;
  // As in QEMU, a name after `file:` is shown unchanged.
  const isWhole = isNbdName(file.name) || name.startsWith('file:') || protocolOf(name) !== undefined;
  const fullName = isWhole ? name : backingFilePath(name, file.name);
  return { name, fullName, format: extensions.backingFormat };
}

function dataFileOf({ header, extensions }: Qcow2ImageHeader): DataFileInfo | undefined {
  if (!hasDataFile(header)) return undefined;
  const raw = (header.autoclearFeatures & AUTOCLEAR_RAW_DATA_FILE) !== 0n;
  return { name: extensions.dataFile, raw };
}

async function bitmapsOf({ file, header, extensions }: Qcow2ImageHeader): Promise<BitmapInfo[]> {
  if (extensions.bitmaps === undefined) return [];
  const bitmaps = await readBitmapDirectory(file, header, extensions.bitmaps, decodeShownName);
  return bitmaps.map(({ name, granularityBits, auto, inUse }) => {
    return { name, granularity: 2 ** granularityBits, auto, inUse };
  });
}

async function snapshotsOf({ file, header }: Qcow2ImageHeader): Promise<SnapshotInfo[]> {
  const snapshots: SnapshotInfo[] = [];
  const reader = snapshotTableReader(file, header);
  for await (const entry of snapshotEntries(reader, header)) snapshots.push(snapshotOf(entry));
  return snapshots;
}

function snapshotOf(entry: SnapshotEntry): SnapshotInfo {
  const { dateSeconds, dateNanoseconds, vmClock, vmStateSize, diskSize, icount } = entry;
  return {
    id: shortened(entry.id, MAX_ID_BYTES),
    name: shortened(entry.name, MAX_NAME_BYTES),
    ...{ dateSeconds, dateNanoseconds, vmClock, vmStateSize, diskSize, icount },
  };
}

function shortened(text: string, mostBytes: number): string {
  const bytes = Buffer.from(text);
  return bytes.length <= mostBytes ? text : bytes.subarray(0, mostBytes).toString();
}
