/** fincore of util-linux-extra, which shows a file's pages in the page cache, and dd to empty it. */
import { runOk } from './run.js';

/** @returns how many bytes of the file are in the page cache, in whole pages */
export async function cachedBytes(file: string): Promise<number> {
  const text = await runOk('fincore', ['--bytes', '--raw', '--noheadings', '--output', 'RES', file]);
  return Number(text.trim());
}

/** Drops a file from the page cache, also pages that are not on the disk yet. */
export async function evict(file: string): Promise<void> {
  await runOk('sync', [file]);
  await runOk('dd', [`if=${file}`, 'iflag=nocache', 'count=0', 'status=none']);
}
