// Whether a row of samples shows growth; pure.

/** @typedef {import('./gauges.js').Gauges} Gauges */
/** @typedef {Gauges & { conversions: number, workers: number }} Sample taken after that many of both */

/** Values that must be equal in all samples. */
const COUNTED = ['descriptors', 'threads', 'listeners', 'signalListeners'];

/** @param {number[]} values */
function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/**
 * How much of something comes with each conversion once the process has warmed up: the median of the last quarter
 * of the samples against that of the second, so that no single sample counts.
 * @param {readonly Sample[]} samples at least 8 @param {keyof Sample} what @returns {number}
 */
export function growth(samples, what) {
  const quarter = Math.floor(samples.length / 4);
  const [early, late] = [samples.slice(quarter, 2 * quarter), samples.slice(-quarter)];
  const of = (part, name) => median(part.map((sample) => sample[name]));
  return (of(late, what) - of(early, what)) / (of(late, 'conversions') - of(early, 'conversions'));
}

/**
 * @param {readonly Sample[]} samples the first quarter is warming up
 * @param {Readonly<Partial<Record<keyof Sample, number>>>} most how much may come with each conversion, in KiB
 *   (mappings: one)
 * @returns {string[]} what grows, a sentence each
 */
export function complaints(samples, most) {
  const warm = samples.slice(Math.floor(samples.length / 4));
  const counted = COUNTED.flatMap((what) => {
    const seen = [...new Set(warm.map((sample) => sample[what]))];
    return seen.length === 1 ? [] : [`${what}: ${seen.join(', ')}, where all should be the same`];
  });
  const grown = Object.entries(most).flatMap(([what, limit]) => {
    const each = growth(samples, what);
    return each <= limit ? [] : [`${what}: ${each.toFixed(2)} more with each conversion, ${limit} at most`];
  });
  return [...counted, ...grown];
}
