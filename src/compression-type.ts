/**
 * The compression types of the format (header byte 104): "zlib" is raw deflate (RFC 1951) without a zlib
 * header, "zstd" one frame for each cluster. The index of a type is its number in the file. An image has one type for all of its clusters.
 */
export const COMPRESSION_TYPES = ['zlib', 'zstd'] as const;
export type CompressionType = (typeof COMPRESSION_TYPES)[number];
