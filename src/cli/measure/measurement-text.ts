/** A measurement as it is printed: for people in qemu-img's lines, for programs in its JSON. Pure. */
import type { Estimate, Measurement } from '../../measure/options.js';
import { qapiJson } from '../options/qapi-object.js';

/** Lines of `qemu-img measure`; what comes of an estimate stands behind the number. */
export function humanText({ required, fullyAllocated, bitmaps, estimate }: Measurement): string {
  const lines = [
    `required size: ${exact(required)}${estimate === undefined ? '' : estimateText(estimate)}`,
    `fully allocated size: ${exact(fullyAllocated)}`,
    ...(bitmaps === undefined ? [] : [`bitmaps size: ${exact(bitmaps)}`]),
  ];
  return lines.map((line) => `${line}\n`).join('');
}

/** QEMU's BlockMeasureInfo, and with compression what it does not know. */
export function jsonText({ required, fullyAllocated, bitmaps, compressed, estimate }: Measurement): string {
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

/** A large number by all its digits: as text it would be rounded to those that tell it from its neighbours. */
function exact(bytes: number): bigint {
  return BigInt(bytes);
}
