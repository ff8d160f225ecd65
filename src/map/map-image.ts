/** The ranges of a disk and where each is stored, in the order of the disk (img_map in qemu-img.c). */
import { StatusChain } from '../open/chain-status.js';
import { openImage } from '../open/open-image.js';
import { mergeRanges } from './merge-ranges.js';
import type { MapOptions, MapRange } from './options.js';

/**
 * Goes through the tables of an image and its backing files, reading no data. Nothing stays open when the caller
 * ends early.
 * @returns at least one range: where nothing is to be looked at, one without length and with nothing to say
 * @throws Qcow2cError ERR_USAGE, ERR_UNSUPPORTED, ERR_FORMAT, ERR_CORRUPT, ERR_IO
 */
export async function* mapImage(options: MapOptions): AsyncGenerator<MapRange, void, undefined> {
  const { image, startOffset = 0, maxLength = Number.POSITIVE_INFINITY, isolated = false } = options;
  const { source, layers } = await openImage(image, undefined, { direct: false, isolated });
  try {
    const end = Math.min(source.size, startOffset + maxLength);
    if (startOffset >= end) yield { ...NOTHING, start: startOffset };
    else yield* mergeRanges(rangesOf(new StatusChain(layers), startOffset, end));
  } finally {
    await source.close();
  }
}

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

async function* rangesOf(chain: StatusChain, from: number, to: number): AsyncGenerator<MapRange> {
  for (let start = from; start < to; ) {
    const status = await chain.at(start);
    const length = Math.min(status.length, to - start);
    const { depth, present, zero, data, storedLength, place } = status;
    const compressed = storedLength !== undefined;
    yield { start, length, depth, present, zero, data, compressed, offset: place?.offset, file: place?.file };
    start += length;
  }
}
