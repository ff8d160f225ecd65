/** fincore of util-linux-extra as the judge of what the page cache holds of a file, and dd to empty it. */
import { runOk } from './run.js';

/** @returns how many bytes of the file are in the page cache, in whole pages */
export async function cachedBytes(file: string): Promise<number> {
  const text = await runOk('fincore', ['--bytes', '--raw', '--noheadings', '--output', 'RES', file]);
  return Number(text.trim());
}

/** Drops a file from the page cache, also what is not on the disk yet. */
export async function evict(file: string): Promise<void> {
  await runOk('sync', [file]);
  await runOk('dd', [`if=${file}`, 'iflag=nocache', 'count=0', 'status=none']);
}
