// Decides whether a series of samples shows growth.

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
 * Measures the growth per conversion after the process has warmed up. It compares the median of the last quarter of the
 * samples with that of the second quarter, so that no single sample decides.
 * @param {readonly Sample[]} samples at least 8 @param {keyof Sample} what @returns {number}
 */
export function growth(samples, what) {
  const quarter = Math.floor(samples.length / 4);
  const [early, late] = [samples.slice(quarter, 2 * quarter), samples.slice(-quarter)];
  const of = (part, name) => median(part.map((sample) => sample[name]));
  return (of(late, what) - of(early, what)) / (of(late, 'conversions') - of(early, 'conversions'));
}

/**
 * @param {readonly Sample[]} samples the process warms up during the first quarter
 * @param {Readonly<Partial<Record<keyof Sample, number>>>} most allowed growth per conversion, in KiB
 *   (mappings: a number)
 * @returns {string[]} a sentence for each resource that grows
 */
export function complaints(samples, most) {
  const warm = samples.slice(Math.floor(samples.length / 4));
  const counted = COUNTED.flatMap((what) => {
    const seen = [...new Set(warm.map((sample) => sample[what]))];
    return seen.length === 1 ? [] : [`${what}: ${seen.join(', ')}, but all should be equal`];
  });
  const grown = Object.entries(most).flatMap(([what, limit]) => {
    const each = growth(samples, what);
    return each <= limit
      ? []
      : [`${what}: ${each.toFixed(2)} more per conversion, at most ${limit} expected`];
  });
  return [...counted, ...grown];
}
