/** The result of a check of a sound image, for tests of the output. */
import type { CheckResult } from '../../../src/check/options.js';

export const SOUND: CheckResult = {
  format: 'qcow2',
  corruptions: 0,
  leaks: 0,
  checkErrors: 0,
  totalClusters: 16,
  allocatedClusters: 0,
  fragmentedClusters: 0,
  compressedClusters: 0,
  imageEndOffset: 262144,
  needsRebuild: false,
  unreadTables: 0,
  data: undefined,
  repaired: undefined,
};
