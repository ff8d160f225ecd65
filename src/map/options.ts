/** What the caller of `mapImage` can ask for, and what comes of it. */
import type { Image } from '../image/image-reference.js';

export interface MapOptions {
  readonly image: Image;
  /** The first byte of the disk to be looked at; default: 0. */
  readonly startOffset?: number | undefined;
  /** Bytes of the disk to be looked at from there; default: all. */
  readonly maxLength?: number | undefined;
  /** Refuse every file that an image names; default: false. */
  readonly isolated?: boolean | undefined;
  /** Called with a sentence that the user should know although there is a map; must not throw. */
  readonly onWarning?: ((message: string) => void) | undefined;
  /** Ends the call: it rejects with ERR_ABORTED. */
  readonly signal?: AbortSignal | undefined;
}

/** Guest bytes of which the same is to be said. Fields and rules are those of `qemu-img map`. */
export interface MapRange {
  /** Bytes. */
  readonly start: number;
  readonly length: number;
  /** Which image of the chain says so: 0 is the topmost. */
  readonly depth: number;
  /** Whether that image holds it; false: a backing file below it could have a say. */
  readonly present: boolean;
  /** Reads as zeros. With `data`: its place was kept, but nothing was written there. */
  readonly zero: boolean;
  /** Bytes are stored. */
  readonly data: boolean;
  readonly compressed: boolean;
  /** Where the first byte has its place in `file`, in bytes, when it lies there as it is. */
  readonly offset: number | undefined;
  /** The name of the file with that place. */
  readonly file: string | undefined;
}
