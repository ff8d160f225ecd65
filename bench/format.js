// Figures as text, with units; pure. Used by the report and the plot.

/** @typedef {import('./bars.js').Unit} Unit */

const MiB = 2 ** 20;

/** @param {number} value seconds */
export const seconds = (value) => `${value.toFixed(2)} s`;

/** @param {number} value bytes */
export const mebibytes = (value) => `${(value / MiB).toFixed(1)} MiB`;

/** @type {Record<Unit, (value: number) => string>} */
const BY_UNIT = {
  times: (value) => `${value.toFixed(2)} x`,
  ratio: (value) => value.toFixed(3),
  percent: (value) => `${(value * 100).toFixed(2)} %`,
  seconds,
  bytes: mebibytes,
  rate: (value) => `${mebibytes(value)}/s`,
};

/** @param {number} value @param {Unit} unit */
export const figure = (value, unit) => BY_UNIT[unit](value);

/** @param {number} value the same as a figure, without needless zeros @param {Unit} unit */
export const limit = (value, unit) =>
  figure(value, unit)
    .replace(/(\.\d*?)0+(?= |$)/, '$1')
    .replace(/\.(?= |$)/, '');
