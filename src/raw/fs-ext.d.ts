/** The part of the optional package fs-ext that is used: it ships no types. */
declare module 'fs-ext' {
  /** lseek(2): `whence` as in the system's headers. @returns the offset reached, in bytes */
  export function seekSync(descriptor: number, offset: number, whence: number): number;
}
