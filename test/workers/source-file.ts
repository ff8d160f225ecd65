/** A file that holds a disk twice: as it is, and cluster by cluster as deflate payloads, for any segments. */
import { openSync, writeFileSync } from 'node:fs';
import { deflateRawSync } from 'node:zlib';
import { roundUp } from '../../src/arithmetic.js';
import { cutPayloads } from '../../src/image/range-slice.js';
import type { CompressedSegment, DataSegment } from '../../src/workers/segments.js';

export interface SourceFile {
  readonly descriptor: number;
  /** The payload of each cluster, without trailing bytes. */
  readonly payloads: readonly Buffer[];
  /** The disk's bytes at `offset`, for an item that begins at `base`. */
  data(base: number, offset: number, length: number): DataSegment;
  /** The same from the payloads of its clusters. */
  compressed(base: number, offset: number, length: number): CompressedSegment;
}

/**
 * @param path of the file to make, left open
 * @param disk a whole number of clusters
 * @param clusterSize bytes
 */
export function makeSourceFile(path: string, disk: Uint8Array, clusterSize: number): SourceFile {
  const payloads = Array.from({ length: disk.length / clusterSize }, (_, index) =>
    deflateRawSync(disk.subarray(index * clusterSize, (index + 1) * clusterSize)),
  );
  let end = disk.length + 77;
  const places = payloads.flatMap(({ length }) => {
    const offset = end;
    end += length;
    return [offset, roundUp(end, 512) - offset];
  });
  writeFileSync(path, Buffer.concat([disk, Buffer.alloc(77, 0xee), ...payloads]));
  const descriptor = openSync(path, 'r');
  return {
    descriptor,
    payloads,
    data: (base, offset, length) => ({ kind: 'data', at: offset - base, length, descriptor, offset }),
    compressed: (base, offset, length) => ({
      ...{ kind: 'compressed', at: offset - base, length },
      ...cutPayloads({ type: 'zlib', descriptor, clusterSize, places }, offset, length),
    }),
  };
}
