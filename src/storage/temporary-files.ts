/**
 * The temporary files of one run. They can be removed at any moment, also while a call on them does not return: the
 * threads of Node.js for file operations may all be waiting in such calls, and then a thread is started for it.
 */
import type { BigIntStats } from 'node:fs';
import { lstat, unlink } from 'node:fs/promises';
import { Worker } from 'node:worker_threads';

/** Milliseconds that the threads of Node.js have for it; mostly it takes less than one. */
const USUAL_PATIENCE = 50;
/** Milliseconds that a thread has which is started for it. On a file system that does not answer it never ends. */
const PATIENCE = 300;

interface TemporaryFile {
  readonly path: string;
  readonly device: bigint;
  readonly inode: bigint;
}

/** What `removeAll` does, for a thread that is given its argument. */
const REMOVAL = `
const { lstatSync, unlinkSync } = require('node:fs');
for (const { path, device, inode } of require('node:worker_threads').workerData) {
  try {
    const { dev, ino } = lstatSync(path, { bigint: true });
    if (dev === device && ino === inode) unlinkSync(path);
  } catch {}
}`;

export class TemporaryFiles {
  readonly #files = new Set<TemporaryFile>();
  #isAbandoned = false;

  /** Whether they were given up: none may get a name any more. */
  get isAbandoned(): boolean {
    return this.#isAbandoned;
  }

  /** @returns to be called when the file has its own name, or has been removed */
  add(path: string, { dev, ino }: BigIntStats): () => void {
    const file = { path, device: dev, inode: ino };
    this.#files.add(file);
    return () => this.#files.delete(file);
  }

  /** Removes the files, as far as that is done in time; what stays the next run to the same target removes. */
  async abandon(): Promise<void> {
    this.#isAbandoned = true;
    const files = [...this.#files];
    if (files.length === 0 || (await within(USUAL_PATIENCE, removeAll(files)))) return;
    try {
      const thread = new Worker(REMOVAL, { eval: true, workerData: files, stdout: true, stderr: true });
      const ended = new Promise((resolve) => {
        thread.once('exit', resolve);
        thread.once('error', resolve);
      });
      await within(PATIENCE, ended);
      thread.unref();
    } catch {
      // The system starts no thread for it.
    }
  }
}

/** Removes files, unless another file has such a name by now. */
async function removeAll(files: readonly TemporaryFile[]): Promise<void> {
  for (const { path, device, inode } of files) {
    try {
      const { dev, ino } = await lstat(path, { bigint: true });
      if (dev === device && ino === inode) await unlink(path);
    } catch {
      // It is gone, or stays.
    }
  }
}

/** @returns whether it has ended in time; it must not fail */
async function within(milliseconds: number, work: Promise<unknown>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), milliseconds);
  });
  try {
    return await Promise.race([work.then(() => true), late]);
  } finally {
    clearTimeout(timer);
  }
}
