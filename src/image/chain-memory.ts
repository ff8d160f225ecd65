/** Memory that opened images need: for their tables in the main thread and for their clusters in the workers. */
import { clusterSizeOf, geometryOf } from '../qcow2/geometry.js';
import { unitSizeOf } from '../qcow2/l2-run.js';
import type { OpenedImage } from './open-image.js';

/** Bytes for one image of a chain: pieces of its tables, and the description of the open image. */
const LAYER_BYTES = 512 * 1024;
/** Bytes that stand for the cluster size of a raw disk, which is read in pieces of any length. */
const NO_CLUSTERS = 65536;

/** In bytes. */
interface ChainMemory {
  /** For the tables in the main thread. */
  readonly tables: number;
  /** `smallest`: the smallest unit of a map, a cluster or a subcluster. `largest`: the largest cluster. */
  readonly clusters: { readonly smallest: number; readonly largest: number };
}

/** @param images all images that are read, with their backing files */
export function chainMemory(images: readonly OpenedImage[]): ChainMemory {
  const layers = images.flatMap((image) => image.layers);
  const headers = layers.flatMap(({ qcow2 }) => qcow2?.header ?? []);
  const sizes = headers.map(clusterSizeOf);
  const pieces = headers.map((header) => unitSizeOf(geometryOf(header)));
  return {
    tables: layers.length * LAYER_BYTES,
    clusters: {
      smallest: Math.min(NO_CLUSTERS, ...pieces),
      largest: Math.max(NO_CLUSTERS, ...sizes),
    },
  };
}
