/** The mounts of this process (proc_pid_mountinfo(5)). Without /proc there are none. */
import { readFileSync } from 'node:fs';

/** Names are latin1: one character for each byte. */
export interface Mount {
  /** The device number of its files, as `MAJOR:MINOR`. */
  readonly device: string;
  /** The directory of the file system that is visible at `point`. */
  readonly root: string;
  readonly point: string;
  /** The type of the file system. */
  readonly type: string;
  /** Options of the file system. */
  readonly options: readonly string[];
}

/** @returns every mount that this process sees; an empty list without /proc */
export function readMounts(): Mount[] {
  try {
    return mountsIn(readFileSync('/proc/self/mountinfo', 'latin1'));
  } catch {
    return [];
  }
}

/** @param text lines of `ID PARENT DEVICE ROOT POINT OPTIONS TAG... - TYPE SOURCE OPTIONS`; other lines are ignored */
export function mountsIn(text: string): Mount[] {
  const found: Mount[] = [];
  for (const line of text.split('\n')) {
    const words = line.split(' ');
    const end = words.indexOf('-', 6);
    const [, , device, root, point] = words;
    const [type, , options] = end < 0 ? [] : words.slice(end + 1);
    if (device === undefined || root === undefined || point === undefined) continue;
    if (type === undefined || options === undefined) continue;
    found.push({ device, root: unescaped(root), point: unescaped(point), type, options: options.split(',') });
  }
  return found;
}

/** Blanks, tabs, newlines and backslashes are written in octal. */
function unescaped(word: string): string {
  if (!word.includes('\\')) return word;
  return word.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}
