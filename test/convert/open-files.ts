/** What this process has open, but for the pipes and events of its threads: those that wait for the next conversion keep theirs. */
import { readdirSync, readlinkSync } from 'node:fs';

/** @returns how many files, directories, devices and sockets */
export function openFiles(): number {
  return readdirSync('/proc/self/fd').filter((descriptor) => /^(\/|socket:)/.test(linkOf(descriptor))).length;
}

/** Nothing for the descriptor that lists them, which is closed by now. */
function linkOf(descriptor: string): string {
  try {
    return readlinkSync(`/proc/self/fd/${descriptor}`);
  } catch {
    return '';
  }
}
