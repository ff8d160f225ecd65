/** Lists the ranges of a disk in guest order, and where each is stored (img_map in qemu-img.c). */
import { type ChainStatus, StatusChain } from '../image/chain-status.js';
import { imageReference } from '../image/image-reference.js';
import { openImage } from '../image/open-image.js';
import { yieldToEventLoop } from '../system/yield-to-event-loop.js';
import { endPromptly } from '../workers/prompt-abort.js';
import type { MapOptions, MapRange } from './options.js';
import { RangeMerger } from './range-merger.js';

/**
 * Walks the tables of an image and its backing files, and reads no data. If the caller stops early, all files are
 * closed. A range is yielded once the next range is known to differ.
 * @returns at least one range; an empty request yields one of length 0
 * @throws Qcow2cError ERR_USAGE, ERR_UNSUPPORTED, ERR_FORMAT, ERR_CORRUPT, ERR_IO
 */
export async function* mapImage(options: MapOptions): AsyncGenerator<MapRange, void, undefined> {
  const { signal } = options;
  const ranges = rangesOf(options);
  let isAbandoned = false;
  try {
    for (;;) {
      const { done, value } = await endPromptly(
        signal,
        () => ranges.next(),
        async () => {
          isAbandoned = true;
        },
      );
      if (done) return;
      yield value;
    }
  } finally {
    const closed = ranges.return(undefined);
    // A system call that does not return must not hold up the caller.
    if (isAbandoned) closed.catch(() => {});
    else await closed;
  }
}

async function* rangesOf(options: MapOptions): AsyncGenerator<MapRange, void, undefined> {
  const { startOffset = 0, maxLength = Number.POSITIVE_INFINITY, isolated = false, signal } = options;
  const settings = { direct: false, isolated, onWarning: options.onWarning, nbd: options.nbd };
  await using image = await openImage(imageReference(options.image), undefined, settings);
  const end = Math.min(image.source.size, startOffset + maxLength);
  const chain = new StatusChain(image.layers);
  const merger = new RangeMerger();
  for (let start = startOffset; start < end; ) {
    const pause = yieldToEventLoop(signal);
    if (pause !== undefined) await pause;
    const range = rangeOf(await chain.at(start), start, end);
    const complete = merger.add(range);
    if (complete !== undefined) yield complete;
    start += range.length;
  }
  yield merger.end() ?? { ...NOTHING, start: startOffset };
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

function rangeOf(status: ChainStatus, start: number, end: number): MapRange {
  const { depth, present, zero, data, storedLength, place } = status;
  return {
    start,
    length: Math.min(status.length, end - start),
    depth,
    present,
    zero,
    data,
    compressed: storedLength !== undefined,
    offset: place?.offset,
    file: place?.file,
  };
}
