/** Arithmetic on sizes and offsets. Every value is a safe integer, and 32-bit operators are never used. */

/** The next multiple of `unit` at or above `value`. Exact for safe integers of any size. */
export function roundUp(value: number, unit: number): number {
  const rest = value % unit;
  return rest === 0 ? value : value + unit - rest;
}

/** The next multiple of `unit` at or below `value`. */
export function roundDown(value: number, unit: number): number {
  return value - (value % unit);
}
