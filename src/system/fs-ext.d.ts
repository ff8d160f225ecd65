/** The functions of the optional package fs-ext that are used. The package ships no types. */
declare module 'fs-ext' {
  /** lseek(2): `whence` as in the system's headers. @returns the offset reached, in bytes @throws the system's error */
  export function seekSync(descriptor: number, offset: number, whence: number): number;
  /** The same on another thread. */
  export function seek(
    descriptor: number,
    offset: number,
    whence: number,
    callback: (error: NodeJS.ErrnoException | null, reached: number) => void,
  ): void;
}
