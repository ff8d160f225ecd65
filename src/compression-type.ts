/**
 * The compression types of the format (header byte 104): "zlib" is raw deflate (RFC 1951) without a zlib
 * header, "zstd" one frame for each cluster. An image has one type for all of its clusters.
 */
export type CompressionType = 'zlib' | 'zstd';
