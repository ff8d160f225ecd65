/** The library's result of a conversion, for tests of the output. */
import type { ConvertResult } from '../../../src/convert/options.js';

export const RESULT: ConvertResult = {
  virtualSize: 10 * 65536,
  fileSize: 400_384,
  clusterSize: 65536,
  compressedClusters: 4,
  normalClusters: 1,
  copiedClusters: 0,
  correctedClusters: undefined,
  zeroClusters: 0,
  unreadableBytes: 0,
  compressedBytes: 65536,
  engine: 'libdeflate',
  compressionLevel: 2,
  byContent: undefined,
  unportable: undefined,
  threads: 3,
  settledMs: 0,
  digest: undefined,
  verifiedFrom: undefined,
  verifiedPart: undefined,
  targetCache: 'none',
  directRefused: undefined,
  threadsRefused: undefined,
  writeCalls: 7,
  writtenBytes: 401_408,
};
