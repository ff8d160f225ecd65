/**
 * Open descriptors of this process: their names in /dev and /proc, and their position and access mode. Node.js has no
 * call for the last two; Linux lists them in /proc/self/fdinfo.
 */
import { readFileSync } from 'node:fs';

const STANDARD_NAMES: Readonly<Record<string, number>> = {
  '/dev/stdin': 0,
  '/dev/stdout': 1,
  '/dev/stderr': 2,
};
const DESCRIPTOR_NAME = /^\/(?:dev|proc\/self)\/fd\/(\d{1,9})$/;

/** @returns the descriptor of a name such as /dev/stdout or /dev/fd/3; undefined for any other name */
export function ownDescriptor(name: string): number | undefined {
  if (Object.hasOwn(STANDARD_NAMES, name)) return STANDARD_NAMES[name];
  const digits = DESCRIPTOR_NAME.exec(name)?.[1];
  return digits === undefined ? undefined : Number(digits);
}

/** @returns a path by which this process can open the descriptor's file again, even if the file has no name */
export function descriptorPath(descriptor: number): string {
  return `${process.platform === 'linux' ? '/proc/self/fd' : '/dev/fd'}/${descriptor}`;
}

/** The access mode in the flags (O_ACCMODE); O_RDONLY is 0. */
const ACCESS_MODE = 0o3;

/** @returns bytes from the start of the file; undefined if unknown */
export function positionOf(descriptor: number): number | undefined {
  const position = factOf(descriptor, /^pos:\t(\d+)$/m);
  return position === undefined ? undefined : Number(position);
}

/** Whether the descriptor is open for writing; false if unknown. */
export function isForWriting(descriptor: number): boolean {
  const flags = factOf(descriptor, /^flags:\t([0-7]+)$/m);
  return flags !== undefined && (Number.parseInt(flags.slice(-1), 8) & ACCESS_MODE) !== 0;
}

function factOf(descriptor: number, line: RegExp): string | undefined {
  try {
    return line.exec(readFileSync(`/proc/self/fdinfo/${descriptor}`, 'latin1'))?.[1];
  } catch {
    return undefined;
  }
}
