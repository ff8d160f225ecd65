/** The ranges of a disk and where each is stored, in the order of the disk (img_map in qemu-img.c). */

import { StatusChain } from '../open/chain-status.js';
import { openImage } from '../open/open-image.js';
import type { MapOptions, MapRange } from './options.js';

/**
 * Goes through the tables of an image and its backing files, reading no data. Nothing stays open when the caller
 * ends early. A range is handed out when the next one turns out to be different.
 * @returns at least one range: where nothing is to be looked at, one without length and with nothing to say
 * @throws Qcow2cError ERR_USAGE, ERR_UNSUPPORTED, ERR_FORMAT, ERR_CORRUPT, ERR_IO
 */
export async function* mapImage(options: MapOptions): AsyncGenerator<MapRange, void, undefined> {
  const { image, startOffset = 0, maxLength = Number.POSITIVE_INFINITY, isolated = false } = options;
  const { source, layers } = await openImage(image, undefined, { direct: false, isolated });
  try {
    const chain = new StatusChain(layers);
    const end = Math.min(source.size, startOffset + maxLength);
    let current = { ...NOTHING, start: startOffset };
    for (let at = startOffset; at < end; ) {
      const next = await rangeAt(chain, at, end);
      at += next.length;
      if (isContinued(current, next)) {
        current.length += next.length;
      } else {
        if (current.length > 0) yield current;
        current = next;
      }
    }
    yield current;
  } finally {
    await source.close();
  }
}

type OpenRange = MapRange & { length: number };

const NOTHING: MapRange = {
  start: 0,
  length: 0,
  depth: 0,
  present: false,
  zero: false,
  data: false,
  compressed: false,
  offset: undefined,
  file: undefined,
};

async function rangeAt(chain: StatusChain, start: number, end: number): Promise<OpenRange> {
  const { length, depth, present, zero, data, storedLength, place } = await chain.at(start);
  return {
    start,
    length: Math.min(length, end - start),
    depth,
    present,
    zero,
    data,
    compressed: storedLength !== undefined,
    offset: place?.offset,
    file: place?.file,
  };
}

/** Whether both are one range (entry_mergeable). */
function isContinued(current: MapRange, next: MapRange): boolean {
  return (
    current.length > 0 &&
    current.zero === next.zero &&
    current.data === next.data &&
    current.compressed === next.compressed &&
    current.depth === next.depth &&
    current.present === next.present &&
    current.file === next.file &&
    next.offset === (current.offset === undefined ? undefined : current.offset + current.length)
  );
}
