/** What opened images mean for memory: their tables in the main thread, their clusters in the workers. */
import { hasExtendedL2 } from '../qcow2/features.js';
import { clusterSizeOf } from '../qcow2/geometry.js';
import { SUBCLUSTERS } from '../qcow2/subclusters.js';
import type { OpenedImage } from './open-image.js';

/** Pieces of tables, and what describes an open image. Of one image of a chain, in bytes. */
const LAYER_BYTES = 512 * 1024;
/** Of a raw disk, which is read in pieces of any length. */
const NO_CLUSTERS = 65536;

/** In bytes. */
export interface ChainMemory {
  readonly tables: number;
  /** The smallest may be a subcluster. */
  readonly clusters: { readonly smallest: number; readonly largest: number };
}

/** @param images all that are read, with all that they stand on */
export function chainMemory(images: readonly OpenedImage[]): ChainMemory {
  const layers = images.flatMap((image) => image.layers);
  const headers = layers.flatMap(({ qcow2 }) => qcow2?.header ?? []);
  const sizes = headers.map(clusterSizeOf);
  const pieces = headers.map((header) => clusterSizeOf(header) / (hasExtendedL2(header) ? SUBCLUSTERS : 1));
  return {
    tables: layers.length * LAYER_BYTES,
    clusters: {
      smallest: Math.min(NO_CLUSTERS, ...pieces),
      largest: Math.max(NO_CLUSTERS, ...sizes),
    },
  };
}
