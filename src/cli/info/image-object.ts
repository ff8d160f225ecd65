/**
 * The description of an image as objects of QEMU's schema: BlockGraphInfo of qapi/block-core.json, as printed by
 * qemu-img since 8.0; earlier versions had no `children`. Pure.
 */
import type { Examination } from '../../examine/examine-image.js';
import { readsAsProtocol } from '../../image/protocol.js';
import type { DataFileInfo, ImageInfo, Qcow2Info, SnapshotInfo } from '../../info/image-info.js';
import type { ExportDescription } from '../../nbd/describe-export.js';
import { dataRatio } from '../../qcow2/data-ratio.js';
import type { Encryption } from '../../qcow2/encryption-header.js';
import type { QapiObject } from '../options/qapi-object.js';

const NANOSECONDS = 1_000_000_000n;

/** BlockGraphInfo, with the findings in the clusters under `deep`. */
export function imageObject(info: ImageInfo): QapiObject {
  const { format, virtualSize, diskSize, qcow2 } = info;
  const backing = qcow2?.backing;
  return {
    filename: shownFile(info),
    format,
    'virtual-size': virtualSize,
    'actual-size': diskSize,
    encrypted: qcow2?.encryption === undefined ? undefined : true,
    'cluster-size': qcow2?.clusterSize,
    'dirty-flag': qcow2?.dirty ?? false,
    'format-specific': qcow2 && { type: 'qcow2', data: qcow2Object(qcow2) },
    'backing-filename': backing?.name,
    'full-backing-filename': backing?.fullName,
    'backing-filename-format': backing?.format,
    snapshots: qcow2 && qcow2.snapshots.length > 0 ? qcow2.snapshots.map(snapshotObject) : undefined,
    children: [{ name: 'file', info: fileObject(info) }],
    deep: qcow2?.deep && deepObject(qcow2.deep, qcow2.clusterSize),
  };
}

/** The name as it can be typed: as in qemu-img, a name that looks like a protocol gets a directory before it. */
export function shownFile({ file, nbd }: ImageInfo): string {
  if (nbd !== undefined) return file;
  return readsAsProtocol(file) ? `./${file}` : file;
}

/** The node below the image's: the file or device. */
function fileObject(info: ImageInfo): QapiObject {
  if (info.nbd !== undefined) {
    const { exports, ...known } = info.nbd;
    return {
      filename: shownFile(info),
      format: 'nbd',
      'virtual-size': info.fileSize,
      'dirty-flag': false,
      'format-specific': { type: 'nbd', data: nbdObject(known, exports) },
      children: [],
    };
  }
  return {
    filename: shownFile(info),
    format: info.isDevice ? 'host_device' : 'file',
    'virtual-size': info.fileSize,
    'actual-size': info.diskSize,
    'dirty-flag': false,
    'format-specific': { type: 'file', data: {} },
    children: [],
  };
}

/** Not in QEMU; keys follow the style of the schema. */
export function nbdObject(
  known: Omit<ExportDescription, 'exports'>,
  exports: ExportDescription['exports'],
): QapiObject {
  return {
    'read-only': known.isReadOnly,
    'multi-conn': known.allowsConnections,
    'minimum-block-size': known.minimumBlock,
    'maximum-request-size': known.maximumRequest,
    'meta-contexts': known.metaContexts,
    exports: exports.map(({ name, description }) => ({ name, description: description || undefined })),
  };
}

/** ImageInfoSpecificQCow2. Version 2 lacks the fields of version 3. */
export function qcow2Object(info: Qcow2Info): QapiObject {
  const { version, compressionType, refcountBits, encryption } = info;
  const every = {
    compat: version === 2 ? '0.10' : '1.1',
    'compression-type': compressionType,
    'refcount-bits': refcountBits,
    encrypt: encryption && encryptionObject(encryption),
  };
  if (version === 2) return every;
  return {
    ...every,
    'lazy-refcounts': info.lazyRefcounts,
    corrupt: info.corrupt,
    'extended-l2': info.extendedL2,
    ...dataFileKeys(info.dataFile),
    bitmaps: info.bitmaps.length === 0 ? undefined : info.bitmaps.map(bitmapObject),
  };
}

function dataFileKeys(dataFile: DataFileInfo | undefined): QapiObject {
  return dataFile === undefined ? {} : { 'data-file': dataFile.name, 'data-file-raw': dataFile.raw };
}

function bitmapObject({ name, granularity, auto, inUse }: Qcow2Info['bitmaps'][number]): QapiObject {
  return { name, granularity, flags: [...(inUse ? ['in-use'] : []), ...(auto ? ['auto'] : [])] };
}

/** ImageInfoSpecificQCow2Encryption. */
function encryptionObject(encryption: Encryption): QapiObject {
  if (encryption.format === 'aes') return { format: 'aes' };
  return {
    format: 'luks',
    'cipher-alg': encryption.cipher,
    'cipher-mode': encryption.cipherMode,
    'ivgen-alg': encryption.ivGenerator,
    'ivgen-hash-alg': encryption.ivHash,
    'hash-alg': encryption.hash,
    uuid: encryption.uuid,
    'payload-offset': encryption.payloadOffset,
    'master-key-iters': encryption.masterKeyIterations,
    slots: encryption.slots.map(({ keyOffset, active }) => ({
      active: active !== undefined,
      iters: active?.iterations,
      stripes: active?.stripes,
      'key-offset': keyOffset,
    })),
  };
}

/** SnapshotInfo. QEMU's integers are signed 64-bit numbers, whatever the table holds. */
function snapshotObject(snapshot: SnapshotInfo): QapiObject {
  const { id, name, dateSeconds, dateNanoseconds, vmClock, vmStateSize, icount } = snapshot;
  return {
    id,
    name,
    'vm-state-size': BigInt.asIntN(64, vmStateSize),
    'date-sec': dateSeconds,
    'date-nsec': dateNanoseconds,
    'vm-clock-sec': vmClock / NANOSECONDS,
    'vm-clock-nsec': vmClock % NANOSECONDS,
    icount: icount === undefined ? undefined : BigInt.asIntN(64, icount),
  };
}

/** Not in QEMU; keys follow the style of the schema. */
function deepObject(deep: Examination, clusterSize: number): QapiObject {
  const { clusters, examined, broken, facts } = deep;
  return {
    'compressed-clusters': clusters.compressed,
    'normal-clusters': clusters.normal,
    'zero-clusters': clusters.zero,
    'unallocated-clusters': clusters.unallocated,
    'broken-clusters': broken,
    payloads: examined,
    'uncompressed-size': facts?.compressedGuestBytes,
    'compressed-size': facts?.payloadBytes,
    ratio: examinedRatio(deep, clusterSize),
    'host-clusters-of-payloads': facts?.hostClusters,
    'wasted-size': facts?.wastedBytes,
    'window-size': facts?.window,
    'payloads-with-checksum': facts?.checksums,
  };
}

/** The ratio of the data: compressed clusters, with those of snapshots, and the normal ones of the disk. */
export function examinedRatio({ clusters, facts }: Examination, clusterSize: number): number | undefined {
  const { payloadBytes: compressed = 0, compressedGuestBytes: compressedGuest = 0 } = facts ?? {};
  return dataRatio({ compressed, compressedGuest, normal: clusters.normal * clusterSize });
}
