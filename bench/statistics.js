// Medians and pairwise ratios of interleaved runs; pure. Used by the rows and the report.

/**
 * @param {readonly number[]} values at least one
 * @returns {number} the middle value, or the mean of the two in the middle
 */
export function median(values) {
  if (values.length === 0) throw new RangeError('median of nothing');
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/**
 * Combines the n-th run of one side with the n-th of the other, which ran right beside it, before the
 * median is taken: a slow minute of the machine then hits both sides of a pair and cancels out.
 * @param {readonly number[]} a @param {readonly number[]} b as many values as a
 * @param {(x: number, y: number) => number} combine
 * @returns {number} the median of the combined pairs
 */
export function pairwise(a, b, combine) {
  if (a.length !== b.length) throw new RangeError(`pairs of ${a.length} and ${b.length} runs`);
  return median(a.map((x, n) => combine(x, b[n])));
}
