/** Sizes and offsets as the picture writes them. */

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'];

/** @param bytes any @returns three digits at least, in the largest unit of which it has one: "1.5 GiB" */
export function binarySize(bytes: number): string {
  if (bytes === 0) return '0';
  let power = 0;
  // What would be rounded to 1024 is 1 of the next unit.
  while (power < UNITS.length - 1 && Math.round(bytes / 1024 ** power) >= 1024) power += 1;
  const number = bytes / 1024 ** power;
  const decimals = number >= 100 || power === 0 ? 0 : number >= 10 ? 1 : 2;
  return `${Number(number.toFixed(decimals))} ${UNITS[power]}`;
}

/** @param part of `whole` @returns a percentage that is 0 or 100 only when it is just that */
export function percentage(part: number, whole: number): string {
  const percent = (100 * part) / whole;
  if (percent > 0 && percent < 0.1) return '< 0.1 %';
  if (percent < 100 && percent > 99.9) return '> 99.9 %';
  return `${Number(percent.toFixed(percent < 10 || percent > 99 ? 1 : 0))} %`;
}
