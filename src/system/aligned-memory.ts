/**
 * Page-aligned memory. O_DIRECT refuses other memory (EINVAL), and Node.js's buffers are not aligned. A
 * WebAssembly.Memory is page-aligned, and workers can fill a shared one in place. Its pages take no memory until they
 * are touched, so a slab may be sized for the worst case.
 */
import { internalError, Qcow2cError } from '../errors.js';

/** The part of the WebAssembly namespace that is used here; Node's types do not declare it. */
declare const WebAssembly: {
  readonly Memory: new (size: {
    initial: number;
    maximum: number;
    shared?: boolean;
  }) => { readonly buffer: ArrayBuffer | SharedArrayBuffer };
};

/** WebAssembly's unit of memory in bytes, a multiple of every page size that O_DIRECT needs. */
const WASM_PAGE = 65536;

/** Bytes of the largest allocation: a WebAssembly memory has at most 65536 pages. */
export const LARGEST_PIECE = 65536 * WASM_PAGE;

/** Alignment in bytes that is enough for every disk (512, 512e and 4Kn) and memory page. */
export const DIRECT_ALIGNMENT = 4096;

/**
 * @returns page-aligned, zeroed memory of at least `bytes` bytes that only this thread can access
 * @throws RangeError for more than 4 GiB; Qcow2cError ERR_IO (ENOMEM) when the system lacks the memory
 */
export function alignedMemory(bytes: number): Uint8Array {
  return new Uint8Array(wasmMemory(bytes, false));
}

/** @returns the same as alignedMemory, shared between threads */
export function sharedAlignedMemory(bytes: number): SharedArrayBuffer {
  return wasmMemory(bytes, true) as SharedArrayBuffer;
}

function wasmMemory(bytes: number, shared: boolean): ArrayBuffer | SharedArrayBuffer {
  const pages = Math.max(1, Math.ceil(bytes / WASM_PAGE));
  if (pages * WASM_PAGE > LARGEST_PIECE)
    throw new RangeError(`cannot allocate ${bytes} bytes of aligned memory in one piece`);
  try {
    return new WebAssembly.Memory({ initial: pages, maximum: pages, shared }).buffer;
  } catch (cause) {
    const why = 'Cannot allocate memory (each allocation reserves some GiB of address space; see ulimit -v)';
    throw new Qcow2cError('ERR_IO', `Could not allocate ${bytes} bytes of aligned memory: ${why}`, {
      expected: bytes,
      systemCode: 'ENOMEM',
      cause,
    });
  }
}

/** Slots of equal size in aligned memory. A slab lends at most the number of slots it was made for. */
export class AlignedSlab {
  readonly slotSize: number;
  readonly #free: Uint8Array[] = [];
  readonly #lent = new Set<Uint8Array>();

  /**
   * @param slots number of slots
   * @param slotSize bytes of each; slots are aligned to the largest power of two that divides it
   */
  constructor(slots: number, slotSize: number) {
    this.slotSize = slotSize;
    this.grow(slots);
  }

  /** Adds `slots` more slots. */
  grow(slots: number): void {
    const memory = alignedMemory(slots * this.slotSize);
    for (let index = slots - 1; index >= 0; index -= 1) {
      this.#free.push(memory.subarray(index * this.slotSize, (index + 1) * this.slotSize));
    }
  }

  /** @returns a free slot with the bytes of its last use; undefined if all are lent */
  take(): Uint8Array | undefined {
    const slot = this.#free.pop();
    if (slot !== undefined) this.#lent.add(slot);
    return slot;
  }

  /** Returns a slot that `take` lent. */
  giveBack(slot: Uint8Array): void {
    if (!this.#lent.delete(slot)) throw internalError('a slot was returned to a slab that had not lent it');
    this.#free.push(slot);
  }
}
