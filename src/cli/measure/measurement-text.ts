/** Formats a measurement: as qemu-img's lines for human readers, or as its JSON. Pure. */
import type { Estimate, Measurement } from '../../measure/options.js';
import { qapiJson } from '../options/qapi-object.js';

/** The lines of `qemu-img measure`; an estimate is followed by its margin. */
export function measurementText({ required, fullyAllocated, bitmaps, estimate }: Measurement): string {
  const lines = [
    `required size: ${exact(required)}${estimate === undefined ? '' : estimateText(estimate)}`,
    `fully allocated size: ${exact(fullyAllocated)}`,
    ...(bitmaps === undefined ? [] : [`bitmaps size: ${exact(bitmaps)}`]),
  ];
  return lines.map((line) => `${line}\n`).join('');
}

/** QEMU's BlockMeasureInfo, with further keys if `compress` is set. */
export function measurementJson({
  required,
  fullyAllocated,
  bitmaps,
  compressed,
  estimate,
}: Measurement): string {
  return qapiJson({
    required: exact(required),
    'fully-allocated': exact(fullyAllocated),
    bitmaps: bitmaps === undefined ? undefined : exact(bitmaps),
    compressed: compressed ? true : undefined,
    ...(estimate === undefined ? {} : estimateFacts(estimate)),
  });
}

function estimateText({ margin, confidence, sampledBytes, dataBytes }: Estimate): string {
  const percent = dataBytes === 0 ? 100 : Number(((100 * sampledBytes) / dataBytes).toPrecision(3));
  return ` (estimated from ${percent}% of the data, +- ${margin} bytes at ${confidence}% confidence)`;
}

function estimateFacts({ margin, confidence, sampledBytes, dataBytes }: Estimate) {
  return { margin, confidence, 'sampled-bytes': sampledBytes, 'data-bytes': dataBytes };
}

/** Writes all digits of a large number. The default conversion rounds to the fewest digits that identify the double. */
function exact(bytes: number): bigint {
  return BigInt(bytes);
}
