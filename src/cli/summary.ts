/** What -v says after a conversion: a few plain lines. Pure. */
import type { ConvertResult } from '../convert/options.js';

/** @returns lines for standard error, each ending in a newline */
export function summary(result: ConvertResult): string {
  const lines = [compression(result), target(result), clusters(result), sizes(result), writes(result)];
  return lines.map((line) => `${line}\n`).join('');
}

function compression({ engine, compressionLevel, tableLevel, threads }: ConvertResult): string {
  const tables = tableLevel === undefined ? '' : ` (${tableLevel} for binary tables)`;
  const how = engine === undefined ? 'none' : `${engine}, level ${compressionLevel}${tables}`;
  return `Compression: ${how}; worker threads: ${threads}`;
}

function target({ targetCache, directRefused }: ConvertResult): string {
  const why = directRefused === undefined ? '' : ` (O_DIRECT was refused: ${directRefused})`;
  return `Target cache mode: ${targetCache}${why}`;
}

function clusters({ compressedClusters, normalClusters, clusterSize }: ConvertResult): string {
  return `Clusters: ${compressedClusters} compressed, ${normalClusters} normal, of ${clusterSize} bytes each`;
}

function sizes({
  virtualSize,
  fileSize,
  compressedClusters,
  normalClusters,
  clusterSize,
  compressedBytes,
}: ConvertResult): string {
  const data = (compressedClusters + normalClusters) * clusterSize;
  const stored = compressedBytes + normalClusters * clusterSize;
  const ratio = data === 0 ? '' : `, ratio of the data ${(stored / data).toFixed(3)}`;
  return `Size: ${virtualSize} bytes virtual, ${fileSize} bytes in the file${ratio}`;
}

function writes({ writeCalls, writtenBytes }: ConvertResult): string {
  return `Writes: ${writeCalls} calls, ${writtenBytes} bytes`;
}
