/** Sizes and offsets as the picture writes them. */

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'];

/** @param bytes any @returns three digits at least, in the largest unit of which it has one: "1.5 GiB" */
export function binarySize(bytes: number): string {
  if (bytes === 0) return '0';
  let power = 0;
  while (power < UNITS.length - 1 && bytes >= 1024 ** (power + 1)) power += 1;
  const number = bytes / 1024 ** power;
  const decimals = number >= 100 || power === 0 ? 0 : number >= 10 ? 1 : 2;
  return `${Number(number.toFixed(decimals))} ${UNITS[power]}`;
}
