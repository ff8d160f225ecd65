/** The lines that -v prints after a conversion. Pure. */
import type { ConvertResult } from '../../convert/options.js';

/** @returns lines for standard error, each ending in a newline */
export function summary(result: ConvertResult): string {
  const { clusterSize } = result;
  const what = clusterSize === undefined ? [] : [clusters(result, clusterSize)];
  const lines = [
    ...settling(result),
    compression(result),
    ...refusedThreads(result),
    ...checkedPayloads(result),
    ...target(result),
    ...what,
    sizes(result),
    ...unreadable(result),
    writes(result),
    ...verification(result),
  ];
  return lines.map((line) => `${line}\n`).join('');
}

function settling({ settledMs }: ConvertResult): string[] {
  if (settledMs === 0) return [];
  const seconds = (settledMs / 1000).toFixed(2);
  return [
    `Source: modified just before the run; waited ${seconds} s so that later writes change its time stamps`,
  ];
}

function compression({ engine, compressionLevel, byContent, unportable, threads }: ConvertResult): string {
  const note = unportable === undefined ? '' : ` (${unportable})`;
  const single = engine === undefined ? 'none' : `${engine}, level ${compressionLevel}`;
  const how = `${byContent === undefined ? single : `by content, ${levelsText(byContent)}`}${note}`;
  return `Compression: ${how}; worker threads: ${threads}`;
}

/** Such as: isal level 2; libdeflate levels 4, 5. */
function levelsText(levels: NonNullable<ConvertResult['byContent']>): string {
  const engines = [...new Set(levels.map(({ engine }) => engine))];
  const texts = engines.map((engine) => {
    const own = levels.filter((each) => each.engine === engine).map(({ level }) => level);
    return `${engine} ${own.length === 1 ? 'level' : 'levels'} ${own.join(', ')}`;
  });
  return texts.join(' and ');
}

function checkedPayloads({ correctedClusters: wrong }: ConvertResult): string[] {
  if (wrong === undefined) return [];
  return [`Payloads checked: ${wrong === 0 ? 'all correct' : `${wrong} wrong, compressed again`}`];
}

function refusedThreads({ threadsRefused }: ConvertResult): string[] {
  return threadsRefused === undefined ? [] : [`Fewer worker threads than requested: ${threadsRefused}`];
}

function target({ targetCache, directRefused }: ConvertResult): string[] {
  if (targetCache === undefined) return [];
  const why = directRefused === undefined ? '' : ` (O_DIRECT was refused: ${directRefused})`;
  return [`Target cache mode: ${targetCache}${why}`];
}

function clusters(result: ConvertResult, clusterSize: number): string {
  const { compressedClusters, copiedClusters, normalClusters, zeroClusters } = result;
  const copied = copiedClusters === 0 ? '' : ` (${copiedClusters} copied)`;
  const zeros = zeroClusters === 0 ? '' : `, ${zeroClusters} zero`;
  return `Clusters: ${compressedClusters} compressed${copied}, ${normalClusters} normal${zeros}, of ${clusterSize} bytes each`;
}

function sizes(result: ConvertResult): string {
  const { virtualSize, fileSize, ratio } = result;
  const text = ratio === undefined ? '' : `, ratio of the data ${ratio.toFixed(3)}`;
  return `Size: ${virtualSize} bytes virtual, ${fileSize} bytes in the file${text}`;
}

function unreadable({ unreadableBytes }: ConvertResult): string[] {
  return unreadableBytes === 0 ? [] : [`Unreadable: ${unreadableBytes} bytes replaced with zeros`];
}

function writes({ writeCalls, writtenBytes }: ConvertResult): string {
  return `Writes: ${writeCalls} calls, ${writtenBytes} bytes`;
}

const VERIFIED = {
  device: 'from the device, bypassing the page cache',
  evicted: 'after eviction from the page cache',
  'page cache': 'through the page cache, which could not be evicted',
  server: 'from the server',
};

function verification({ verifiedFrom, verifiedPart }: ConvertResult): string[] {
  if (verifiedFrom === undefined) return [];
  const part =
    verifiedPart === 'changes' ? '; only changed clusters were compared, the backing file was not' : '';
  return [`Verified: read back ${VERIFIED[verifiedFrom]}${part}`];
}
