/** Formats sizes and offsets for the picture. */

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'];

/** @param bytes any @returns at least three digits, in the largest unit that is not greater: "1.5 GiB" */
export function binarySize(bytes: number): string {
  if (bytes === 0) return '0';
  let power = 0;
  // A value that rounds to 1024 becomes 1 of the next unit.
  while (power < UNITS.length - 1 && Math.round(bytes / 1024 ** power) >= 1024) power += 1;
  const number = bytes / 1024 ** power;
  const decimals = number >= 100 || power === 0 ? 0 : number >= 10 ? 1 : 2;
  return `${Number(number.toFixed(decimals))} ${UNITS[power]}`;
}

/** @param part of `whole` @returns a percentage; 0 and 100 only if exact */
export function roundedPercentage(part: number, whole: number): string {
  const percent = (100 * part) / whole;
  if (percent > 0 && percent < 0.1) return '< 0.1 %';
  if (percent < 100 && percent > 99.9) return '> 99.9 %';
  return `${Number(percent.toFixed(percent < 10 || percent > 99 ? 1 : 0))} %`;
}
