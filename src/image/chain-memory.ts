/** What opened images mean for memory: their tables in the main thread, their clusters in the workers. */
import { INCOMPATIBLE_EXTENDED_L2 } from '../qcow2/features.js';
import type { OpenedImage } from './open-image.js';

/** Specification: "Extended L2 Entries". */
const SUBCLUSTERS = 32;
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
  const sizes = headers.map(({ clusterBits }) => 2 ** clusterBits);
  const pieces = headers.map(({ clusterBits, incompatibleFeatures }) => {
    const hasSubclusters = (incompatibleFeatures & INCOMPATIBLE_EXTENDED_L2) !== 0n;
    return 2 ** clusterBits / (hasSubclusters ? SUBCLUSTERS : 1);
  });
  return {
    tables: layers.length * LAYER_BYTES,
    clusters: {
      smallest: Math.min(NO_CLUSTERS, ...pieces),
      largest: Math.max(NO_CLUSTERS, ...sizes),
    },
  };
}
