/** The interface of every kind of target. */
import type { CacheMode } from './cache-mode.js';
import type { DirectFile } from './direct-file.js';
import type { SparseStorage } from './storage.js';

/** The part of a `DirectFile` that writers use. */
export interface TargetFile
  extends SparseStorage,
    Pick<DirectFile, 'directRefused' | 'writeCalls' | 'writtenBytes' | 'limitRate' | 'allocate' | 'close'> {
  /** undefined: no file is written. */
  readonly cacheMode: CacheMode | undefined;
  /** How many items of a disk are written at the same time. Default: 1, for what is written from start to end. */
  readonly concurrentItems?: number;
}

/**
 * `new`: a file under a temporary name, which takes the target's name when it is committed. `existing`: a regular file
 * that is written in place. `device`: a block device or an NBD export, always written in place. `stream`: a pipe, which
 * is written from start to end. `null`: nothing is stored.
 */
export type TargetKind = 'new' | 'existing' | 'device' | 'stream' | 'null';

/** Whether a target may hold bytes from before the conversion. */
export function isInPlace(kind: TargetKind): boolean {
  return kind === 'existing' || kind === 'device';
}

export interface Target {
  readonly file: TargetFile;
  /** The name of the file until `commit`. */
  readonly path: string;
  readonly kind: TargetKind;
  /** Bytes of the file or device when it was opened; 0 for a new file. */
  readonly existingSize: number;
  /** Bytes that an existing file took on the disk when it was opened; undefined for other kinds. */
  readonly allocatedBytes?: number | undefined;
  /** A sentence about the target for each attribute that could not be copied from the replaced file. */
  readonly notices: readonly string[];
  /**
   * The first half of `commit`, with every step that can fail for lack of space: sets the length in bytes (except of a
   * device), syncs the file, and closes a new one. On error the target is closed, and a new file is removed. A second
   * call does nothing.
   */
  seal(length: number): Promise<void>;
  /** Seals the target and renames a new file. The target is closed afterwards, on error too. */
  commit(length: number): Promise<void>;
  /** Makes `discard` keep the length of an existing file, because the file may hold its new header. */
  keepLength(): void;
  /**
   * Closes the target and removes a new file. An existing file gets its old length back unless it was sealed or keeps
   * its length. Does nothing after `commit`. Never throws.
   */
  discard(): Promise<void>;
}

/** A target and the length of the finished file, in bytes. */
interface TargetWithLength {
  readonly target: Target;
  readonly length: number;
}

/**
 * Commits targets that belong together in the given order: a data file before the image that refers to it. All of them
 * are sealed before the first is renamed, so an image is never in place without its data file. On error the
 * names are unchanged, with one exception: if a later target cannot be renamed, the directory of an earlier one cannot
 * be synced, or the system stops in between, the earlier target keeps its new name.
 * @throws Qcow2cError ERR_IO; every target is closed, and targets without a name are removed
 */
export async function commitInOrder(targets: readonly TargetWithLength[]): Promise<void> {
  try {
    for (const { target, length } of targets) await target.seal(length);
    for (const { target, length } of targets) await target.commit(length);
  } catch (error) {
    await Promise.all(targets.map(({ target }) => target.discard()));
    throw error;
  }
}
