import { describe, expect, test } from 'vitest';
import { summary } from '../../../src/cli/convert/summary.js';
import { RESULT } from './conversion-result.js';

describe('summary', () => {
  test('describes compression, target and amounts', () => {
    expect(summary(RESULT).split('\n')).toEqual([
      'Compression: libdeflate, level 2; worker threads: 3',
      'Target cache mode: none',
      'Clusters: 4 compressed, 1 normal, of 65536 bytes each',
      'Size: 655360 bytes virtual, 400384 bytes in the file, ratio of the data 0.400',
      'Writes: 7 calls, 401408 bytes',
      '',
    ]);
  });

  test('lists the engines and levels chosen by content, and says that other machines give other bytes', () => {
    const levels = [1, 2, 7].map((level) => ({ engine: 'libdeflate' as const, level }));
    const byContent = [{ engine: 'isal' as const, level: 2 }, ...levels];
    const text = summary({ ...RESULT, compressionLevel: undefined, byContent, unportable: 'no SSE4.2' });
    expect(text).toContain(
      'Compression: by content, isal level 2 and libdeflate levels 1, 2, 7 (no SSE4.2); worker threads: 3\n',
    );
  });

  test('gives the reason why O_DIRECT was not used', () => {
    const directRefused = 'Invalid argument';
    expect(summary({ ...RESULT, targetCache: 'writeback', directRefused })).toContain(
      'Target cache mode: writeback (O_DIRECT was refused: Invalid argument)\n',
    );
  });

  test('counts copied, zero and unreadable clusters', () => {
    const text = summary({ ...RESULT, copiedClusters: 3, zeroClusters: 2, unreadableBytes: 65536 });
    expect(text).toContain('Clusters: 4 compressed (3 copied), 1 normal, 2 zero, of 65536 bytes each\n');
    expect(text).toContain('Unreadable: 65536 bytes replaced with zeros\n');
  });

  test('has no cluster counts for a raw disk', () => {
    const text = summary({ ...RESULT, clusterSize: undefined, ratio: undefined });
    expect(text).not.toContain('Clusters');
    expect(text).toContain('Size: 655360 bytes virtual, 400384 bytes in the file\n');
  });

  test('omits the ratio without data, and the engine without compression', () => {
    const text = summary({
      ...RESULT,
      engine: undefined,
      compressionLevel: undefined,
      compressedClusters: 0,
      normalClusters: 0,
      compressedBytes: 0,
      ratio: undefined,
    });
    expect(text).toContain('Compression: none; worker threads: 3\n');
    expect(text).toContain('400384 bytes in the file\n');
  });
});
