// The bars that many rows have.
import { availableParallelism } from 'node:os';
import { beyond, coresBusy, own, ratio } from './bars.js';

/**
 * @typedef {import('./bars.js').Bar} Bar
 * @typedef {import('./bars.js').Figure} Figure
 */

const MiB = 2 ** 20;

/** @param {string} ours @param {string} theirs @returns {Figure} */
export const cpuRatio = (ours, theirs) => ({
  label: 'CPU time ratio',
  unit: 'ratio',
  figure: ratio('cpu', ours, theirs),
});

/** @param {string} ours @param {string} theirs @param {number} limit @returns {Bar} */
export const cpuAtMost = (ours, theirs, limit) => ({
  ...cpuRatio(ours, theirs),
  relation: 'at most',
  limit,
});

/** @param {string} ours @param {string} theirs @param {number} limit @returns {Bar} */
export const timesFaster = (ours, theirs, limit) => ({
  label: 'times faster (wall)',
  relation: 'at least',
  limit,
  unit: 'times',
  figure: ratio('wall', theirs, ours),
});

/** @param {string} ours @param {string} theirs @param {number} limit @returns {Bar} */
export const sizeAtMost = (ours, theirs, limit) => ({
  label: 'size',
  relation: 'at most',
  limit,
  unit: 'percent',
  figure: ratio('size', ours, theirs),
});

/** @param {string} name @param {string} side @returns {Bar} */
export const busy = (name, side) => ({
  label: `share of all cores, ${name}`,
  relation: 'at least',
  limit: 0.925,
  unit: 'percent',
  figure: coresBusy(side, availableParallelism()),
});

/** @param {string} name @param {string} side @param {number} limit MiB @returns {Bar} */
export const peakAtMost = (name, side, limit) => ({
  label: `peak memory, ${name}`,
  relation: 'at most',
  limit: limit * MiB,
  unit: 'bytes',
  figure: own('peak', side),
});

/** Seconds by which a command of ours may exceed qemu-img and the start of Node: our own modules are loaded too. */
const LOADING = 0.05;

/** @param {string} corpus @param {string} command @returns {Bar} */
export const notSlower = (corpus, command) => ({
  label: 'wall above qemu-img and the start of Node',
  relation: 'at most',
  limit: LOADING,
  unit: 'seconds',
  figure: beyond('wall', `${corpus}/qcow2c-${command}`, `${corpus}/qemu-img-${command}`, `${corpus}/node`),
});
