/** Images with any compressed clusters that a test defines, and their L2 entries. */
import { guestCluster } from '../../src/qcow2/addresses.js';
import { type CreateOptions, resolveCreateOptions } from '../../src/qcow2/create-options.js';
import { allocationUnit } from '../../src/qcow2/image-body.js';
import { ImageWriter } from '../../src/qcow2/image-writer.js';
import { CompressedWriteCache } from '../../src/storage/compressed-write-cache.js';
import { OverlapGuard } from '../../src/storage/overlap-guard.js';
import { RecordingStorage } from '../storage/recording-storage.js';

/** A guest cluster: its payload, or all of it as it is stored. */
export type Content =
  | { readonly payload: Uint8Array }
  | { readonly stored: Uint8Array }
  | 'zero'
  | 'unallocated';

/** @returns the file with these guest clusters, the first at guest offset 0, contiguous */
export async function payloadImage(contents: readonly Content[], options: CreateOptions): Promise<Buffer> {
  const { clusterSize = 65536 } = options;
  const virtualSize = contents.length * clusterSize;
  const parameters = resolveCreateOptions(options, virtualSize);
  const unit = allocationUnit(clusterSize);
  const storage = new RecordingStorage();
  const guard = new OverlapGuard(storage, unit);
  const cache = CompressedWriteCache.create(guard, unit, 4 * unit);
  const writer = new ImageWriter(parameters, virtualSize, { guard, cache, firstFree: unit });
  for (const [index, content] of contents.entries()) {
    const cluster = guestCluster(index);
    if (content === 'zero') await writer.clusters.writeZero(cluster, 1);
    else if (content === 'unallocated') continue;
    else if ('payload' in content) {
      const { payload } = content;
      await writer.clusters.writeCompressed(cluster, Uint32Array.of(payload.length), payload);
    } else await writer.clusters.writeNormal(cluster, content.stored);
  }
  const length = await writer.finish({});
  cache.free();
  return Buffer.from(storage.bytes(0, length));
}

/** Where in the file the L2 entry of a guest cluster is, by its index. */
export function l2EntryAt(file: Buffer, cluster: number, entryBytes = 8): number {
  const l2Entries = 2 ** file.readUInt32BE(20) / entryBytes;
  const l1Entry = Number(file.readBigUInt64BE(40)) + Math.floor(cluster / l2Entries) * 8;
  const table = Number(file.readBigUInt64BE(l1Entry) & 0x00ff_ffff_ffff_fe00n);
  return table + (cluster % l2Entries) * entryBytes;
}

/** A compressed cluster descriptor, taken apart: specification, "Compressed Clusters Descriptor". */
export interface Descriptor {
  /** Bytes. */
  readonly offset: number;
  /** Sectors of 512 bytes after the one that the payload begins in. */
  readonly moreSectors: number;
}

export function readDescriptor(file: Buffer, cluster: number): Descriptor {
  const bits = offsetBits(file);
  const raw = file.readBigUInt64BE(l2EntryAt(file, cluster));
  if ((raw & (3n << 62n)) !== 1n << 62n) throw new Error(`cluster ${cluster} is not compressed: ${raw}`);
  return {
    offset: Number(raw & ((1n << bits) - 1n)),
    moreSectors: Number((raw & ((1n << 62n) - 1n)) >> bits),
  };
}

export function writeDescriptor(file: Buffer, cluster: number, { offset, moreSectors }: Descriptor): void {
  const raw = (1n << 62n) | (BigInt(moreSectors) << offsetBits(file)) | BigInt(offset);
  file.writeBigUInt64BE(raw, l2EntryAt(file, cluster));
}

function offsetBits(file: Buffer): bigint {
  return BigInt(62 - (file.readUInt32BE(20) - 8));
}
