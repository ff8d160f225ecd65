/** The ratio of an image, as shown by progress, summaries, `info --deep` and results. */

/** In bytes. */
interface StoredData {
  /** Compressed clusters in the image. */
  readonly compressed: number;
  /** The guest bytes of these clusters. */
  readonly compressedGuest: number;
  /** Normal clusters, which take as many bytes in the image as on the disk. */
  readonly normal: number;
}

/** @returns bytes in the image divided by guest bytes, of the clusters with data; undefined: there are none */
export function dataRatio({ compressed, compressedGuest, normal }: StoredData): number | undefined {
  const data = compressedGuest + normal;
  return data === 0 ? undefined : (compressed + normal) / data;
}
