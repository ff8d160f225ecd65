/** What whoever reads a finished target back knows of it. */
import type { ImageReference } from '../image/image-reference.js';
import type { Target } from '../storage/target.js';

/** A target that is complete and durable, and has no name yet or had it all the time. */
export interface WrittenTarget {
  /** For opening it, where it is now. */
  readonly reference: ImageReference;
  /** The data file's name, for messages. */
  readonly dataFileName: string | undefined;
  /** The names in a qcow2 image, as they were to be written; undefined: a raw disk. */
  readonly names: ImageNames | undefined;
  /** Bytes that were written of the disk, from its start: the source's size. */
  readonly size: number;
  /** Bytes of the disk; undefined: at least `size`. */
  readonly diskSize: number | undefined;
  readonly kind: Target['kind'];
  /** Whether the file system takes O_DIRECT, as far as is known. */
  readonly direct: boolean;
}

interface ImageNames {
  readonly backing: string | undefined;
  readonly backingFormat: string | undefined;
  readonly dataFile: string | undefined;
}
