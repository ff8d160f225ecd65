/**
 * Makes images with every kind of guest cluster in memory, and computes the expected view of the guest. For the
 * tests of the image writer.
 */
import { deflateRawSync } from 'node:zlib';
import { guestCluster } from '../../src/qcow2/addresses.js';
import { type CreateOptions, resolveCreateOptions } from '../../src/qcow2/create-options.js';
import { allocationUnit } from '../../src/qcow2/image-body.js';
import { ImageWriter } from '../../src/qcow2/image-writer.js';
import type { Subclusters } from '../../src/qcow2/l2-entry.js';
import { CompressedWriteCache } from '../../src/storage/compressed-write-cache.js';
import { OverlapGuard } from '../../src/storage/overlap-guard.js';
import { randomBytes } from '../e2e/source-images.js';
import { RecordingStorage } from '../storage/recording-storage.js';

const NOISE = randomBytes(3 * 1024 * 1024);

/** Steps for guest clusters; `stored`: in the image or in its external data file. */
export type Step =
  | { readonly kind: 'compressed'; readonly first: number }
  | { readonly kind: 'stored'; readonly first: number; readonly subclusters?: Subclusters | undefined }
  | { readonly kind: 'zero' | 'reserved'; readonly first: number; readonly count: number };

export interface ImagePlan {
  readonly options: CreateOptions;
  /** Bytes. */
  readonly virtualSize: number;
  /** In ascending order of their clusters. */
  readonly steps: readonly Step[];
  /** Given at the end only. */
  readonly sizeUnknown?: boolean | undefined;
  readonly cacheUnits?: number | undefined;
  readonly storage?: RecordingStorage | undefined;
  /** Called before the first step. */
  readonly beforeSteps?: ((writer: ImageWriter) => Promise<void>) | undefined;
}

/** The content of a guest cluster: noise, or little of it for a compressed one. */
export function bytesOf(step: Step, clusterSize: number): Buffer {
  const bytes = Buffer.alloc(clusterSize, 1 + (step.first % 255));
  const length = step.kind === 'compressed' ? Math.floor(clusterSize / 3) : clusterSize;
  NOISE.copy(bytes, 0, (step.first * 7919) % (NOISE.length - length), NOISE.length);
  bytes.fill(1 + (step.first % 255), length);
  return bytes;
}

/** Writes the image and its external data file to memory. */
export async function writeImage(plan: ImagePlan) {
  const { virtualSize, steps, options, sizeUnknown = false } = plan;
  const parameters = resolveCreateOptions(options, virtualSize);
  const { clusterSize } = parameters.geometry;
  const unit = allocationUnit(clusterSize);
  const storage = plan.storage ?? new RecordingStorage();
  const guard = new OverlapGuard(storage, unit);
  const cache = CompressedWriteCache.create(guard, unit, (plan.cacheUnits ?? 4) * unit);
  const writer = new ImageWriter(parameters, sizeUnknown ? undefined : virtualSize, {
    guard,
    cache,
    firstFree: unit,
  });
  const dataFile = Buffer.alloc(options.dataFile === undefined ? 0 : virtualSize);
  await plan.beforeSteps?.(writer);
  for (const step of steps) {
    const first = guestCluster(step.first);
    if (step.kind === 'zero') await writer.clusters.writeZero(first, step.count);
    if (step.kind === 'reserved') await writer.clusters.reserve(first, step.count);
    if (step.kind === 'compressed') {
      const payload = deflateRawSync(bytesOf(step, clusterSize), { level: 1 });
      await writer.clusters.writeCompressed(first, Uint32Array.of(payload.length), payload);
    }
    if (step.kind !== 'stored') continue;
    if (options.dataFile === undefined) {
      await writer.clusters.writeNormal(first, bytesOf(step, clusterSize), step.subclusters);
    } else {
      await writer.clusters.mapExternal(first, step.subclusters);
      bytesOf(step, clusterSize).copy(dataFile, step.first * clusterSize);
    }
  }
  const length = await writer.finish(sizeUnknown ? { virtualSize } : {});
  cache.free();
  const file = Buffer.from(storage.bytes(0, length));
  return { file, dataFile, storage, counts: writer.clusters.counts, clusterSize };
}

/**
 * What the guest sees.
 * @param backing of any size; past its end it reads as zeros
 */
export function guestBytes(
  { options, virtualSize, steps }: ImagePlan,
  backing: Buffer = Buffer.alloc(0),
): Buffer {
  const disk = Buffer.alloc(virtualSize);
  backing.copy(disk);
  const { clusterSize = 65_536, extendedL2 = false } = options;
  for (const step of steps) {
    const at = step.first * clusterSize;
    if (step.kind === 'zero') disk.fill(0, at, at + step.count * clusterSize);
    else if (step.kind === 'reserved') {
      if (!extendedL2) disk.fill(0, at, at + step.count * clusterSize);
    } else {
      const bytes = bytesOf(step, clusterSize);
      const given = step.kind === 'stored' && extendedL2 ? step.subclusters : undefined;
      const { data, zero } = given ?? { data: 0xffffffff, zero: 0 };
      const size = clusterSize / 32;
      for (let index = 0; index < 32; index += 1) {
        const isSet = (mask: number) => Math.floor(mask / 2 ** index) % 2 === 1;
        const [from, to] = [index * size, (index + 1) * size];
        if (isSet(data)) bytes.copy(disk, at + from, from, to);
        else if (isSet(zero)) disk.fill(0, at + from, at + to);
      }
    }
  }
  return disk;
}
