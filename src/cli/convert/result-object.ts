/** The result of a conversion as the object that --output=json prints (docs/results.md). Pure. */
import type { ConvertResult } from '../../convert/options.js';
import type { QapiObject } from '../options/qapi-object.js';

/** Sizes in bytes. Keys without a value are left out. */
export function resultObject(result: ConvertResult): QapiObject {
  const { sources, target, clusterSize, engine, byContent, verifiedFrom } = result;
  return {
    sources: sources.map(({ name: filename, format }) => ({ filename, format })),
    filename: target.name,
    format: target.format,
    'virtual-size': result.virtualSize,
    'file-size': result.fileSize,
    ratio: result.ratio,
    clusters:
      clusterSize === undefined
        ? undefined
        : {
            size: clusterSize,
            compressed: result.compressedClusters,
            copied: result.copiedClusters,
            corrected: result.correctedClusters,
            normal: result.normalClusters,
            zero: result.zeroClusters,
          },
    'compressed-size': clusterSize === undefined ? undefined : result.compressedBytes,
    seconds: result.seconds,
    'bytes-per-second': result.bytesPerSecond,
    engine,
    level: result.compressionLevel,
    levels: byContent?.map((each) => ({ engine: each.engine, level: each.level })),
    unportable: result.unportable,
    threads: result.threads,
    'threads-refused': result.threadsRefused,
    digest: result.digest,
    sha256: result.sha256,
    verified: verifiedFrom !== undefined,
    'verified-from': verifiedFrom,
    'verified-part': result.verifiedPart,
    'unreadable-size': result.unreadableBytes,
    'settled-milliseconds': result.settledMs,
    cache: result.targetCache,
    'direct-refused': result.directRefused,
    'write-calls': result.writeCalls,
    'written-size': result.writtenBytes,
    warnings: result.warnings,
  };
}
