/**
 * The temporary files of one run. They can be removed at any time, even while a system call on them hangs: if all of
 * Node.js's threads for file operations are blocked, a new thread removes the files.
 */
import type { BigIntStats } from 'node:fs';
import { lstat, unlink } from 'node:fs/promises';
import { Worker } from 'node:worker_threads';

/** Milliseconds to wait for Node.js's threads; the removal usually takes less than one. */
const USUAL_PATIENCE = 50;
/** Milliseconds for the new thread to begin: that takes no call that could hang, but a busy machine makes it late. */
const START_PATIENCE = 5000;
/** Milliseconds to wait for its work. On a file system that does not answer, the removal never ends. */
const PATIENCE = 300;

interface TemporaryFile {
  readonly path: string;
  readonly device: bigint;
  readonly inode: bigint;
}

/** The program of the new thread, equivalent to `removeAll`. It says when it begins. */
const REMOVAL = `
const { lstatSync, unlinkSync } = require('node:fs');
const { parentPort, workerData } = require('node:worker_threads');
parentPort.postMessage('begins');
for (const { path, device, inode } of workerData) {
  try {
    const { dev, ino } = lstatSync(path, { bigint: true });
    if (dev === device && ino === inode) unlinkSync(path);
  } catch {}
}`;

export class TemporaryFiles {
  readonly #files = new Set<TemporaryFile>();
  #isAbandoned = false;

  /** Whether the files were abandoned: none may get its final name any more. */
  get isAbandoned(): boolean {
    return this.#isAbandoned;
  }

  /** Adds a file. @returns a function to call when the file has its final name or has been removed */
  add(path: string, { dev, ino }: BigIntStats): () => void {
    const file = { path, device: dev, inode: ino };
    this.#files.add(file);
    return () => this.#files.delete(file);
  }

  /** Removes the files, as far as time allows. The next run to the same target removes files that stay. */
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
      const begun = new Promise((resolve) => thread.once('message', resolve));
      await within(START_PATIENCE, Promise.race([begun, ended]));
      await within(PATIENCE, ended);
      thread.unref();
    } catch {
      // The system cannot start a thread.
    }
  }
}

/** Removes the files whose names still belong to them. */
async function removeAll(files: readonly TemporaryFile[]): Promise<void> {
  for (const { path, device, inode } of files) {
    try {
      const { dev, ino } = await lstat(path, { bigint: true });
      if (dev === device && ino === inode) await unlink(path);
    } catch {
      // The file does not exist, or cannot be removed.
    }
  }
}

/** @param work must not reject @returns whether it ended in time */
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
