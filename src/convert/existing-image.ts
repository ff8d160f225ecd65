/**
 * The qcow2 image that `-n` writes into: its options, which it keeps, and the free ranges of its file. Ranges that it
 * references are not overwritten before its header is. The rules are those of QEMU for an image opened for writing.
 */
import { roundUp } from '../arithmetic.js';
import { analyse } from '../check/analysis.js';
import { type CheckedImage, readCheckedImage } from '../check/checked-image.js';
import type { Finding } from '../check/findings.js';
import { FreeRangeFinder } from '../check/free-ranges.js';
import { Qcow2cError, quoted } from '../errors.js';
import type { ImageParameters } from '../qcow2/create-options.js';
import {
  COMPATIBLE_LAZY_REFCOUNTS,
  INCOMPATIBLE_CORRUPT,
  INCOMPATIBLE_DATA_FILE,
  INCOMPATIBLE_DIRTY,
} from '../qcow2/features.js';
import { type FreeRange, leastFreeRange } from '../qcow2/free-range.js';
import { type Geometry, MAX_REFCOUNT_TABLE_BYTES, TABLE_ENTRY_BYTES } from '../qcow2/geometry.js';
import { CRYPT_METHODS, type Header } from '../qcow2/header.js';
import { decodeBackingName, headerAreaBytes } from '../qcow2/header-extensions.js';
import { allocationUnit } from '../qcow2/image-body.js';
import { SECTOR_SIZE } from '../sector.js';
import type { Target } from '../storage/target.js';
import { UnalignedReader } from '../storage/unaligned-reader.js';

/** Host clusters whose references are counted at once: 16 MiB of counters. */
const WINDOW_CLUSTERS = 2 ** 22;

const COUNTER_BYTES = 4;

export interface ExistingImage {
  readonly image: CheckedImage;
  /** Reads the file through the target's own descriptor. */
  readonly reader: UnalignedReader;
  readonly parameters: ImageParameters;
  /** Bytes, in whole sectors. */
  readonly virtualSize: number;
  /** The backing file's name as the image has it. */
  readonly backing: string | undefined;
  /** The ranges that are not referenced; the last one has no end. */
  readonly free: readonly FreeRange[];
  readonly windowClusters: number;
}

/**
 * @param target open for writing in place, and locked
 * @param neededSize bytes of guest data that must fit
 * @throws Qcow2cError ERR_IO, ERR_FORMAT, ERR_CORRUPT; ERR_UNSUPPORTED when a part of the image would be
 *   lost; ERR_USAGE when it is too small; ERR_ABORTED
 */
export async function readExistingImage(
  { file, existingSize }: Target,
  neededSize: number,
  signal: AbortSignal | undefined,
): Promise<ExistingImage> {
  const reader = new UnalignedReader(file);
  const size = roundUp(existingSize, SECTOR_SIZE);
  const image = await readCheckedImage({
    name: file.name,
    size,
    read: (offset, into) => reader.read(offset, into),
  });
  const { header, geometry } = image;
  refuseKinds(header, file.name);
  const virtualSize = header.virtualSize - (header.virtualSize % SECTOR_SIZE);
  if (virtualSize < neededSize) {
    throw new Qcow2cError(
      'ERR_USAGE',
      `output file is smaller than input file: the disk in ${quoted(file.name)} has ${virtualSize} bytes, ` +
        `and ${neededSize} are needed`,
      { file: file.name, expected: neededSize, found: virtualSize },
    );
  }
  const windowClusters = Math.max(WINDOW_CLUSTERS, geometry.refcountBlockEntries);
  const finder = freeRangeFinder(header, geometry, size);
  await analyse(image, {
    signal,
    windowClusters,
    onCounted: (counters) => finder.add(counters),
    onFinding: (finding) => refuseFinding(finding, header, file.name),
  });
  const area = new Uint8Array(headerAreaBytes(header));
  await image.file.read(0, area);
  return {
    image,
    reader,
    parameters: {
      version: header.version,
      geometry,
      compressionType: header.compressionType,
      lazyRefcounts: (header.compatibleFeatures & COMPATIBLE_LAZY_REFCOUNTS) !== 0n,
      preallocation: 'off',
    },
    virtualSize,
    backing: decodeBackingName(area, header, file.name),
    free: [...finder.ranges, { from: finder.end, to: Number.POSITIVE_INFINITY }],
    windowClusters,
  };
}

/** The finder of the ranges that an image may use again. @param fileSize bytes */
export function freeRangeFinder(header: Header, geometry: Geometry, fileSize: number): FreeRangeFinder {
  const { clusterSize } = geometry;
  const longestTable = Math.max(
    header.l1Entries * TABLE_ENTRY_BYTES,
    Math.min(MAX_REFCOUNT_TABLE_BYTES, header.refcountTableClusters * clusterSize),
  );
  return new FreeRangeFinder(
    clusterSize,
    allocationUnit(clusterSize),
    leastFreeRange(fileSize, longestTable),
  );
}

/** Bytes of memory that counting the references takes. */
export function countersBytesOf({ image, windowClusters }: ExistingImage): number {
  const clusters = Math.ceil(image.file.size / image.geometry.clusterSize) + 1;
  return COUNTER_BYTES * Math.min(clusters, windowClusters);
}

function refuseKinds({ cryptMethod, incompatibleFeatures: has }: Header, file: string): void {
  const refuse = (code: 'ERR_UNSUPPORTED' | 'ERR_CORRUPT', found: string, instead: string) => {
    throw new Qcow2cError(code, `Cannot write into ${quoted(file)}: ${found}; ${instead}`, { file, found });
  };
  if (cryptMethod !== CRYPT_METHODS.none) {
    refuse('ERR_UNSUPPORTED', 'it is encrypted', 'qcow2c has no keys; use qemu-img convert -n');
  }
  if ((has & INCOMPATIBLE_CORRUPT) !== 0n) {
    refuse(
      'ERR_CORRUPT',
      'the image is marked corrupt',
      "repair it with 'qcow2c check -r all', or convert without -n to replace it",
    );
  }
  if ((has & INCOMPATIBLE_DATA_FILE) !== 0n) {
    refuse(
      'ERR_UNSUPPORTED',
      'it has an external data file, in which old and new data cannot both be kept until the end',
      "convert without -n (and with -o data_file=) to replace both files, or use 'qemu-img convert -n'",
    );
  }
}

/**
 * Refuses an image whose references cannot be followed. Leaked clusters are free. The refcounts of a dirty image, and
 * the flags that depend on them, may be wrong: they are rebuilt.
 */
function refuseFinding(finding: Finding, { incompatibleFeatures }: Header, file: string): void {
  const { kind } = finding;
  if (kind === 'refcount' && finding.found > BigInt(finding.expected)) return;
  // A snapshot entry of version 2, which QEMU reads and keeps.
  if (kind === 'snapshot-incomplete') return;
  const isDirty = (incompatibleFeatures & INCOMPATIBLE_DIRTY) !== 0n;
  const followsFromRefcounts =
    kind === 'refcount' || kind === 'copied-flag-l2-table' || kind === 'copied-flag-cluster';
  if (isDirty && followsFromRefcounts) return;
  throw new Qcow2cError(
    'ERR_CORRUPT',
    `Cannot write into ${quoted(file)}: its tables are damaged ('qcow2c check' lists the errors); repair it with ` +
      "'qcow2c check -r all', or convert without -n to replace it",
    { file, found: kind },
  );
}
