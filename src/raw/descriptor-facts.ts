/** Facts about an open descriptor that Linux shows in /proc/self/fdinfo and Node.js has no call for. */
import { readFileSync } from 'node:fs';

/** O_WRONLY or O_RDWR. */
const WRITING = 0o3;

/** @returns bytes from the start of the file; undefined if unknown */
export function positionOf(descriptor: number): number | undefined {
  const position = factOf(descriptor, /^pos:\t(\d+)$/m);
  return position === undefined ? undefined : Number(position);
}

/** Whether the descriptor is open for writing; false if unknown. */
export function isForWriting(descriptor: number): boolean {
  const flags = factOf(descriptor, /^flags:\t([0-7]+)$/m);
  return flags !== undefined && (Number.parseInt(flags.slice(-1), 8) & WRITING) !== 0;
}

function factOf(descriptor: number, line: RegExp): string | undefined {
  try {
    return line.exec(readFileSync(`/proc/self/fdinfo/${descriptor}`, 'latin1'))?.[1];
  } catch {
    return undefined;
  }
}
