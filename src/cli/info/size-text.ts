/** A size as qemu-img prints it for people: three digits and a unit (size_to_str in QEMU's util/cutils.c). */

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'];

/** @param bytes at most 2^64 - 1 @returns for instance "1.95 MiB" */
export function sizeText(bytes: number | bigint): string {
  const size = Number(bytes);
  // From 1000 on the next unit is taken, so that no number has four digits before its point.
  const power = UNITS.findIndex((_, index) => size < 1000 * 1024 ** index || index === UNITS.length - 1);
  return `${threeDigits(size / 1024 ** power)} ${UNITS[power]}`;
}

/** As printf's %.3g: no zeros behind the last digit that counts, and 1e+03 for what is rounded up to it. */
function threeDigits(value: number): string {
  const text = value.toPrecision(3);
  const [digits = '', exponent] = text.split('e+');
  const short = digits.includes('.') ? digits.replace(/\.?0+$/, '') : digits;
  return exponent === undefined ? short : `${short}e+${exponent.padStart(2, '0')}`;
}
