// What a figure has to reach, and whether it does; pure. Rows state bars, report and plot show verdicts.
import { median, pairwise } from './statistics.js';

/**
 * One counted run: wall and CPU (user + system) in seconds, peak resident memory and output length in bytes.
 * @typedef {{ wall: number, cpu: number, peak: number, size: number }} Sample The results of one side: its counted
 *   runs, and its write calls on the target in the traced run.
 * @typedef {{ runs: Sample[], writes: number }} Measured
 * Everything measured, by the side's id.
 * @typedef {ReadonlyMap<string, Measured>} Results
 * @typedef {'times' | 'ratio' | 'percent' | 'seconds' | 'bytes' | 'rate'} Unit
 * @typedef {{ label: string, unit: Unit, figure: (results: Results) => number }} Figure
 * A figure and its limit. With `or`, reaching either bar is enough.
 * @typedef {Figure & { relation: 'at most' | 'at least', limit: number, or?: Bar }} Bar
 * `share` is how much of the allowance is used: at most 1 when the bar is reached, smaller is better.
 * @typedef {{ label: string, relation: 'at most' | 'at least', limit: number, unit: Unit, value: number,
 *   share: number, reached: boolean, or?: Verdict }} Verdict
 */

/**
 * @param {Bar} bar @param {Results} results
 * @returns {Verdict}
 */
export function judge(bar, results) {
  const { label, relation, limit, unit } = bar;
  const value = bar.figure(results);
  const share = relation === 'at most' ? value / limit : limit / value;
  const own = { label, relation, limit, unit, value, share, reached: share <= 1 };
  if (bar.or === undefined) return own;
  const or = judge(bar.or, results);
  return { ...own, reached: own.reached || or.reached, or };
}

/**
 * @param {Results} results @param {string} side
 * @returns {Measured}
 * @throws Error when the side was not measured
 */
function measured(results, side) {
  const found = results.get(side);
  if (found === undefined) throw new Error(`${side} was not measured`);
  return found;
}

/** @param {Results} results @param {string} side @param {keyof Sample} field */
export function values(results, side, field) {
  return measured(results, side).runs.map((run) => run[field]);
}

/** The median of a / b over pairs of runs. @param {keyof Sample} field @param {string} a @param {string} b */
export function ratio(field, a, b) {
  return (/** @type {Results} */ results) =>
    pairwise(values(results, a, field), values(results, b, field), (x, y) => x / y);
}

/** The median of a - b over pairs of runs. @param {keyof Sample} field @param {string} a @param {string} b */
export function difference(field, a, b) {
  return (/** @type {Results} */ results) =>
    pairwise(values(results, a, field), values(results, b, field), (x, y) => x - y);
}

/**
 * The median of a - b - c over runs of the same round: the time of a beyond b and c.
 * @param {keyof Sample} field @param {string} a @param {string} b @param {string} c
 */
export function beyond(field, a, b, c) {
  return (/** @type {Results} */ results) => {
    const [x, y, z] = [a, b, c].map((side) => values(results, side, field));
    return median(x.map((value, round) => value - y[round] - z[round]));
  };
}

/** The median of one side. @param {keyof Sample} field @param {string} side */
export function own(field, side) {
  return (/** @type {Results} */ results) => median(values(results, side, field));
}

/** Bytes a second. @param {string} side @returns {(results: Results) => number} */
export function rate(side) {
  return (results) => median(measured(results, side).runs.map(({ size, wall }) => size / wall));
}

/**
 * Bytes a second that a side processes beyond a small side, which pays for the start alike.
 * @param {string} side @param {string} small @param {number} bytes by which the source of `side` is larger
 */
export function rateBeyond(side, small, bytes) {
  return (/** @type {Results} */ results) => bytes / difference('wall', side, small)(results);
}

/** The share of all cores that a side keeps busy. @param {string} side @param {number} cores */
export function coresBusy(side, cores) {
  return (/** @type {Results} */ results) =>
    median(measured(results, side).runs.map(({ cpu, wall }) => cpu / wall / cores));
}

/** Write calls for each host cluster of the output. @param {string} side @param {number} clusterSize bytes */
export function writesPerHostCluster(side, clusterSize) {
  return (/** @type {Results} */ results) => {
    const { writes, runs } = measured(results, side);
    return writes / Math.ceil(median(runs.map((run) => run.size)) / clusterSize);
  };
}
