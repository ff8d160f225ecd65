/**
 * Parses numbers of QEMU's command lines: sizes with a suffix, and plain integers. Used by the option parsers, which
 * word the errors.
 */

const UNITS = 'BKMGTPE';
const SIZE =
  /^[ \t\n\v\f\r]*\+?(?:0x(?<hex>[0-9a-f]+)|(?<whole>[0-9]+)(?:\.(?<fraction>[0-9]*))?(?<unit>[bkmgtpe])?)$/i;
const INTEGER =
  /^[ \t\n\v\f\r]*(?<sign>[+-]?)(?:0x(?<hex>[0-9a-f]+)|0(?<octal>[0-7]*)|(?<decimal>[1-9][0-9]*))$/i;

/** Text that is not a number of the expected kind, or exceeds 64 bits. */
type NumberFault = 'malformed' | 'too large';

/**
 * A size in bytes: decimal with an optional suffix (b, k, M, G, T, P, E; powers of 1024), and with a suffix also a
 * fraction, rounded to the nearest byte; or hexadecimal without a suffix. The rules are those of do_strtosz in QEMU's
 * util/cutils.c without its deprecated forms.
 */
export function parseSize(text: string): bigint | NumberFault {
  const { hex, whole, fraction = '', unit = 'b' } = SIZE.exec(text)?.groups ?? {};
  let bytes: bigint;
  if (hex !== undefined) {
    bytes = BigInt(`0x${hex}`);
  } else if (whole === undefined) {
    return 'malformed';
  } else {
    const unitBytes = 1024n ** BigInt(UNITS.indexOf(unit.toUpperCase()));
    if (unitBytes === 1n && /[1-9]/.test(fraction)) return 'malformed';
    const parts = 10n ** BigInt(fraction.length);
    const rounded = (2n * BigInt(`0${fraction}`) * unitBytes + parts) / (2n * parts);
    bytes = BigInt(whole) * unitBytes + rounded;
  }
  return bytes < 2n ** 64n ? bytes : 'too large';
}

/** A whole number in the C notations (decimal, 0x hexadecimal, 0 octal), as strtoull with base 0 reads it. */
export function parseInteger(text: string): number | NumberFault {
  const { sign, hex, octal, decimal } = INTEGER.exec(text)?.groups ?? {};
  if (sign === undefined) return 'malformed';
  const size = BigInt(hex !== undefined ? `0x${hex}` : octal !== undefined ? `0o0${octal}` : (decimal ?? 0));
  if (size >= 2n ** 64n) return 'too large';
  return sign === '-' ? -Number(size) : Number(size);
}
