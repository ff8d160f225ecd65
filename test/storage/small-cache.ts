/** Small caches for the tests of the compressed write cache, and their input. */
import { CompressedWriteCache } from '../../src/storage/compressed-write-cache.js';
import { payload, type RecordingStorage } from './recording-storage.js';

/** Bytes of a host cluster in these tests. */
export const CLUSTER = 65536;

/** A cache with slots for `slots` host clusters. */
export function makeSmallCache(slots: number, storage: RecordingStorage) {
  return { storage, cache: CompressedWriteCache.create(storage, CLUSTER, slots * CLUSTER) };
}

/** Fills [start, end) of a host cluster. */
export async function fill(cache: CompressedWriteCache, cluster: number, start = 0, end = CLUSTER) {
  for (let at = start; at < end; at += 40_000) {
    await cache.write(cluster * CLUSTER + at, payload(Math.min(40_000, end - at), cluster));
  }
}
