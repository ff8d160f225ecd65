/** The one definition of an image's ratio, for progress, summaries, `info --deep` and results. */

/** In bytes. */
export interface StoredData {
  /** Lengths of the compressed clusters in the image, and their guest bytes. */
  readonly compressed: number;
  readonly compressedGuest: number;
  /** Guest bytes of the normal clusters, which take as many in the image. */
  readonly normal: number;
}

/** @returns what the clusters with data take in the image for each of their guest bytes; undefined: there are none */
export function dataRatio({ compressed, compressedGuest, normal }: StoredData): number | undefined {
  const data = compressedGuest + normal;
  return data === 0 ? undefined : (compressed + normal) / data;
}
