/** A target with one bit flipped on the way to the disk. */
import { type openTarget as OpenTarget, openTarget } from '../../src/storage/open-target.js';

/** A bit of a file. */
export interface Flip {
  /** Bytes. */
  readonly offset: number;
  /** 0 to 7. */
  readonly bit: number;
}

/** Flips the bit in the data written at its offset to the file whose name ends in `ending`. */
export function flippingTarget({ offset: flipped, bit }: Flip, ending = ''): typeof OpenTarget {
  return async (path, mode, inPlace) => {
    const target = await openTarget(path, mode, inPlace);
    if (!path.endsWith(ending)) return target;
    const { file } = target;
    const write: typeof file.write = async (offset, buffers) => {
      let at = offset;
      const turned: { buffer: Uint8Array; index: number }[] = [];
      for (const buffer of buffers) {
        if (flipped >= at && flipped < at + buffer.length) turned.push({ buffer, index: flipped - at });
        at += buffer.length;
      }
      const turn = () => {
        for (const { buffer, index } of turned) buffer[index] = (buffer[index] ?? 0) ^ (1 << bit);
      };
      turn();
      await file.write(offset, buffers);
      // The writer keeps its memory.
      turn();
    };
    const changed = new Proxy(file, {
      get: (_, name) => {
        if (name === 'write') return write;
        const value: unknown = Reflect.get(file, name, file);
        return typeof value === 'function' ? value.bind(file) : value;
      },
    });
    return { ...target, file: changed };
  };
}
