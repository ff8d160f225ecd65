/** Formats a size as qemu-img does for human readers: three digits and a unit (size_to_str in QEMU's util/cutils.c). */

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'];

/** @param bytes at most 2^64 - 1 @returns for instance "1.95 MiB" */
export function sizeText(bytes: number | bigint): string {
  // QEMU computes with doubles.
  const size = BigInt(Number(bytes));
  // From 1000 on the next unit is used, so that no number has four digits before its point.
  const power = UNITS.findIndex((_, index) => size < 1000n * 1024n ** BigInt(index) || index === 6);
  return `${threeDigits(size, 1024n ** BigInt(power))} ${UNITS[power]}`;
}

/** size / unit as printf's %.3g: ties to the even digit, no trailing zeros, 1e+03 for a result of 1000. */
function threeDigits(size: bigint, unit: bigint): string {
  const decimals = [100n, 10n, 1n, 0n].findIndex((least) => size >= least * unit);
  const scaled = size * 10n ** BigInt(decimals);
  const [digits, rest] = [scaled / unit, 2n * (scaled % unit)];
  const isUp = rest > unit || (rest === unit && digits % 2n === 1n);
  const rounded = Number(isUp ? digits + 1n : digits);
  return rounded === 1000 && decimals === 0 ? '1e+03' : String(rounded / 10 ** decimals);
}
