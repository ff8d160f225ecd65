/** The library: what `import … from 'qcow2c'` gives. */
export { check } from './check/check.js';
export type { CheckTotals, Finding } from './check/findings.js';
export type { CheckOptions, CheckResult } from './check/options.js';
export { compare } from './compare/compare.js';
export type { CompareOptions, CompareResult, Verdict } from './compare/options.js';
export type { EngineName } from './compress/codec.js';
export { endIdleThreads } from './compress/idle-threads.js';
export type { CompressionType } from './compression-type.js';
export { convert } from './convert/convert.js';
export { type Survey, surveyEngines } from './convert/engines.js';
export type { ConvertOptions, ConvertResult, UnreadableRange } from './convert/options.js';
export type { VerifiedFrom } from './convert/verification.js';
export { type ErrorCode, type ErrorFacts, Qcow2cError } from './errors.js';
export type { ImageFormat, ImageReference, StreamReference } from './image/image-reference.js';
export type {
  BackingInfo,
  BitmapInfo,
  DataFileInfo,
  ImageInfo,
  ImageInfoOptions,
  Qcow2Info,
  SnapshotInfo,
} from './info/image-info.js';
export { imageInfo } from './info/info.js';
export { mapImage } from './map/map-image.js';
export type { MapOptions, MapRange } from './map/options.js';
export { measure } from './measure/measure.js';
export type { Estimate, Measurement, MeasureOptions } from './measure/options.js';
export type { Side } from './pipeline/compare-items.js';
export type { ClusterCounts, Examination, StreamTotals } from './pipeline/examine-image.js';
export type { Progress } from './pipeline/progress.js';
export type { CreateOptions } from './qcow2/create-options.js';
export type { Encryption, KeySlot, LuksEncryption } from './qcow2/encryption-header.js';
export type { SnapshotSelector } from './qcow2/snapshot-table.js';
export { CACHE_MODES, type CacheMode } from './storage/cache-mode.js';
