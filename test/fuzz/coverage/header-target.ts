/**
 * Header, extensions, names and the encryption header: read for content, for a description and for a check. Every field
 * is compared with the bytes, and an accepted header is written back unchanged.
 */
import { readCheckedImage } from '../../../src/check/checked-image.js';
import type { ErrorCode } from '../../../src/errors.js';
import { type Qcow2ImageHeader, readQcow2ImageHeader } from '../../../src/image/image-header.js';
import { probeFormat } from '../../../src/image/probe.js';
import { describeQcow2 } from '../../../src/info/describe-qcow2.js';
import { INCOMPATIBLE_EXTENDED_L2 } from '../../../src/qcow2/features.js';
import { geometry, l1EntriesFor } from '../../../src/qcow2/geometry.js';
import { decodeHeader, type Header } from '../../../src/qcow2/header.js';
import { decodeBackingName, decodeExtensions } from '../../../src/qcow2/header-extensions.js';
import { encodeHeader } from '../../../src/qcow2/new-header.js';
import { MemoryImage } from './memory-image.js';
import { attempt, promise, promiseSame } from './promises.js';

const REFUSED: readonly ErrorCode[] = ['ERR_FORMAT', 'ERR_CORRUPT', 'ERR_UNSUPPORTED'];
/** The start of the file, and the first cluster at its largest. */
const START_READS = 2;
const START_BYTES = 4096 + 2 ** 21;
/** Of a bitmap directory or a snapshot table. */
const WINDOW_BYTES = 65536;

export async function fuzz(input: Uint8Array): Promise<void> {
  const file = MemoryImage.of(input);
  const start = new Uint8Array(4096);
  file.copy(0, start);
  const bounded = <T>(reads: number, bytes: number, work: () => Promise<T>) => {
    file.allow(reads, bytes);
    return attempt(REFUSED, work);
  };
  const content = await bounded(START_READS, START_BYTES, () => readQcow2ImageHeader(file.source, 'content'));
  const described = await bounded(START_READS, START_BYTES, () =>
    readQcow2ImageHeader(file.source, 'description'),
  );
  // The check reads the last sector too.
  const checked = await bounded(START_READS + 1, START_BYTES + 512, () => readCheckedImage(file));
  await promiseFormat(start, described.value !== undefined);

  if (described.value === undefined) {
    promise(content.value === undefined, 'an image that cannot be described is not read:', described.error);
    return;
  }
  const { header, extensions, backing } = described.value;
  promiseFields(header, start);
  if (content.value !== undefined) {
    promiseSame(content.value.header, header, 'the same header for content');
    promiseSame(content.value.extensions, extensions, 'the same extensions for content');
    promiseSame(content.value.backing, backing, 'the same backing file for content');
  } else {
    promiseSame(
      content.error.code,
      'ERR_UNSUPPORTED',
      'only encryption or a name keeps the content from being read',
    );
  }
  if (checked.value !== undefined) {
    promiseSame(checked.value.header, header, 'the same header for a check');
    promiseSame(checked.value.extensions, extensions, 'the same extensions for a check');
  } else {
    promise(header.cryptMethod === 2, 'an image that can be described can be checked:', checked.error);
  }
  // A LUKS header, and two tables through windows, which overlap by half at most.
  const reads = 1 + 4 * (1 + Math.ceil(file.length / WINDOW_BYTES));
  await bounded(reads, reads * WINDOW_BYTES, () => describeQcow2(described.value as Qcow2ImageHeader));
  if (content.value !== undefined) await promiseRoundTrip(content.value);
}

async function promiseFormat(start: Uint8Array, isQcow2: boolean): Promise<void> {
  const { value } = await attempt(['ERR_UNSUPPORTED'], () => probeFormat(start.subarray(0, 512), 'x'));
  if (isQcow2) promiseSame(value, 'qcow2', 'an image that is described is recognised');
}

/** Every field equals its bytes, and is inside its bounds. */
function promiseFields(header: Header, start: Uint8Array): void {
  const view = new DataView(start.buffer);
  const u64 = (at: number) => Number(view.getBigUint64(at));
  const isV3 = view.getUint32(4) === 3;
  const hasName = u64(8) !== 0;
  promiseSame(
    header,
    {
      version: view.getUint32(4),
      backingFileOffset: u64(8),
      backingFileSize: hasName ? view.getUint32(16) : 0,
      clusterBits: view.getUint32(20),
      virtualSize: u64(24),
      cryptMethod: view.getUint32(32),
      l1Entries: view.getUint32(36),
      l1Offset: u64(40),
      refcountTableOffset: u64(48),
      refcountTableClusters: view.getUint32(56),
      snapshotCount: view.getUint32(60),
      snapshotsOffset: u64(64),
      incompatibleFeatures: isV3 ? view.getBigUint64(72) : 0n,
      compatibleFeatures: isV3 ? view.getBigUint64(80) : 0n,
      autoclearFeatures: isV3 ? view.getBigUint64(88) : 0n,
      refcountOrder: isV3 ? view.getUint32(96) : 4,
      headerLength: isV3 ? view.getUint32(100) : 72,
      compressionType: isV3 && view.getUint32(100) > 104 && start[104] === 1 ? 'zstd' : 'zlib',
    },
    'every field equals its bytes',
  );
  const { clusterBits, refcountOrder, virtualSize, l1Entries, snapshotCount, cryptMethod } = header;
  promise(clusterBits >= 9 && clusterBits <= 21, 'cluster_bits', clusterBits);
  promise(refcountOrder <= 6, 'refcount_order', refcountOrder);
  promise(Number.isSafeInteger(virtualSize), 'size', virtualSize);
  promise(l1Entries <= 2 ** 22, 'l1_size', l1Entries);
  const { backingFileOffset, backingFileSize } = header;
  promise(backingFileOffset + backingFileSize <= 2 ** clusterBits, 'a name is in the first cluster', header);
  promise(backingFileSize <= 1023, 'backing_file_size', backingFileSize);
  promise(header.headerLength <= 2 ** clusterBits, 'header_length', header.headerLength);
  promise(snapshotCount <= 65536, 'nb_snapshots', snapshotCount);
  promise(cryptMethod <= 2, 'crypt_method', cryptMethod);
  promise(header.refcountTableClusters * 2 ** clusterBits <= 2 ** 23, 'refcount_table_clusters');
  const extendedL2 = (header.incompatibleFeatures & INCOMPATIBLE_EXTENDED_L2) !== 0n;
  const sizes = geometry(clusterBits, 2 ** refcountOrder, extendedL2);
  promise(l1EntriesFor(sizes, virtualSize) <= l1Entries, 'the L1 table reaches the end of the disk');
  for (const offset of [header.l1Offset, header.refcountTableOffset, header.snapshotsOffset]) {
    promise(Number.isSafeInteger(offset) && offset % 2 ** clusterBits === 0, 'a table is aligned:', offset);
  }
}

/** Fields that the encoder of new headers can write are read back unchanged. */
async function promiseRoundTrip({ header, extensions, backing }: Qcow2ImageHeader): Promise<void> {
  const { backingFormat, dataFile, bitmaps } = extensions;
  const { version, incompatibleFeatures, autoclearFeatures, snapshotCount } = header;
  const isNew =
    (incompatibleFeatures & 3n) === 0n && snapshotCount === 0 && Buffer.byteLength(backing ?? '') < 1024;
  if (!isNew || (backing !== undefined && backingFormat !== 'raw' && backingFormat !== 'qcow2')) return;
  if (version === 2 && bitmaps !== undefined) return;
  const hasDataFile = (incompatibleFeatures & 4n) !== 0n;
  if (hasDataFile && dataFile === undefined) return;
  const { value: bytes } = await attempt(['ERR_LIMIT'], () =>
    encodeHeader({
      ...header,
      extendedL2: (incompatibleFeatures & INCOMPATIBLE_EXTENDED_L2) !== 0n,
      bitmaps,
      dataFile: hasDataFile ? { name: dataFile as string, raw: (autoclearFeatures & 2n) !== 0n } : undefined,
      backing:
        backing === undefined ? undefined : { file: backing, format: backingFormat as 'raw' | 'qcow2' },
    }),
  );
  if (bytes === undefined) return;
  const area = new Uint8Array(2 ** header.clusterBits);
  area.set(bytes);
  const again = decodeHeader(area, 'x');
  const keep = ({ backingFileOffset, headerLength, snapshotsOffset, cryptMethod, ...rest }: Header) => {
    return { ...rest, autoclearFeatures: rest.autoclearFeatures & 2n, backingFileSize: 0 };
  };
  promiseSame(keep(again), keep(header), 'a header is read back as it was written');
  promiseSame(decodeBackingName(area, again, 'x'), backing, "a backing file's name comes back");
  const found = decodeExtensions(area, again, 'x');
  promiseSame(found.bitmaps, bitmaps, 'where the bitmaps are comes back');
  promiseSame(found.dataFile, hasDataFile ? dataFile : undefined, "a data file's name comes back");
  if (backing !== undefined)
    promiseSame(found.backingFormat, backingFormat, "a backing file's format comes back");
}
