/** The result of a check as text and as JSON: dump_human_image_check and dump_json_image_check of qemu-img. Pure. */
import type { CheckResult } from '../../check/options.js';
import { qapiJson } from '../options/qapi-object.js';

/** The lines that `check` prints at its end. */
export function checkResultText(result: CheckResult): string {
  const {
    corruptions,
    leaks,
    checkErrors,
    totalClusters,
    allocatedClusters,
    imageEndOffset,
    data,
    unreadTables,
  } = result;
  const lines = repairedLines(result);
  if (corruptions === 0 && leaks === 0 && checkErrors === 0) lines.push('No errors were found on the image.');
  if (corruptions > 0) {
    lines.push(
      '',
      `${corruptions} errors were found on the image.`,
      'Data may be corrupted, or further writes to the image may corrupt it.',
    );
  }
  if (leaks > 0) {
    lines.push(
      '',
      `${leaks} leaked clusters were found on the image.`,
      unreadTables > 0
        ? 'They may be in use: not all tables that could refer to them could be read.'
        : 'This means waste of disk space, but no harm to data.',
    );
  }
  if (checkErrors > 0) lines.push('', `${checkErrors} internal errors have occurred during the check.`);
  if (totalClusters > 0 && allocatedClusters > 0) {
    const share = (part: number, whole: number) => twoDecimals((part * 100) / whole);
    lines.push(
      `${allocatedClusters}/${totalClusters} = ${share(allocatedClusters, totalClusters)}% allocated, ` +
        `${share(result.fragmentedClusters, allocatedClusters)}% fragmented, ` +
        `${share(result.compressedClusters, allocatedClusters)}% compressed clusters`,
    );
  }
  if (data !== undefined) {
    lines.push(`Compressed clusters examined: ${data.examined}, broken: ${data.broken}`);
  }
  if (imageEndOffset > 0) lines.push(`Image end offset: ${imageEndOffset}`);
  return `${lines.join('\n')}\n`;
}

/** Formats as printf's %.2f: a tie, possible for odd eighths only, is rounded to the even digit. */
function twoDecimals(value: number): string {
  if (Math.abs((value * 8) % 2) !== 1) return value.toFixed(2);
  const below = Math.floor(value * 100);
  return ((below + (below % 2)) / 100).toFixed(2);
}

/** The repairs, if there were any. */
function repairedLines({ repaired }: CheckResult): string[] {
  if (repaired === undefined || repaired.leaksFixed + repaired.corruptionsFixed === 0) return [];
  return [
    'The following inconsistencies were found and repaired:',
    '',
    `    ${repaired.leaksFixed} leaked clusters`,
    `    ${repaired.corruptionsFixed} corruptions`,
    '',
    'Double checking the fixed image now...',
  ];
}

/**
 * The object ImageCheck of QEMU's QAPI schema, with two more keys for the data. Numbers that are 0 are omitted.
 * @param filename the image as typed
 */
export function checkResultJson(result: CheckResult, filename: string): string {
  const nonZero = (value: number) => (value === 0 ? undefined : value);
  return qapiJson({
    filename,
    format: result.format,
    'check-errors': result.checkErrors,
    'image-end-offset': nonZero(result.imageEndOffset),
    corruptions: nonZero(result.corruptions),
    leaks: nonZero(result.leaks),
    'corruptions-fixed': nonZero(result.repaired?.corruptionsFixed ?? 0),
    'leaks-fixed': nonZero(result.repaired?.leaksFixed ?? 0),
    'total-clusters': nonZero(result.totalClusters),
    'allocated-clusters': nonZero(result.allocatedClusters),
    'fragmented-clusters': nonZero(result.fragmentedClusters),
    'compressed-clusters': nonZero(result.compressedClusters),
    'examined-clusters': result.data?.examined,
    'broken-clusters': result.data?.broken,
  });
}
