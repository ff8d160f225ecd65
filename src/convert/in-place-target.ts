/** What is in a file or device that `-n` writes a qcow2 image into. It is looked at under the lock for writing. */
import { quoted, usageError } from '../errors.js';
import { PROBE_BYTES } from '../image/probe.js';
import { isQcow2 } from '../qcow2/header.js';
import type { Target } from '../storage/target.js';
import { UnalignedReader } from '../storage/unaligned-reader.js';
import type { ConvertOptions } from './options.js';
import { announced, otherContent } from './overwriting.js';

/** The first bytes of a file in which a new image is being made in place. */
export const UNFINISHED_MARK: Uint8Array = Buffer.from('qcow2c: this image was never finished\n');

/** Below this many bytes a file may hold data without having blocks, in its inode. */
const SMALLEST_WITHOUT_BLOCKS = 4096;

/**
 * `image`: a qcow2 image, which keeps its options. `nothing`: no bytes that anybody wrote, or what a conversion left
 * behind that was killed. `data`: anything else, such as a raw disk, in one word.
 */
export type FoundContent = 'image' | 'nothing' | { readonly data: string };

/** @throws Qcow2cError ERR_IO */
export async function contentOf(target: Target): Promise<FoundContent> {
  const { file, kind, existingSize, allocatedBytes } = target;
  if (existingSize === 0) return 'nothing';
  const start = new Uint8Array(PROBE_BYTES);
  const found = start.subarray(0, await new UnalignedReader(file).read(0, start));
  if (isQcow2(found)) return 'image';
  // A device is written over, as it is without -n.
  if (kind === 'device' || isUnfinished(found)) return 'nothing';
  return existingSize >= SMALLEST_WITHOUT_BLOCKS && allocatedBytes === 0
    ? 'nothing'
    : { data: announced(found, file.name) };
}

function isUnfinished(start: Uint8Array): boolean {
  return Buffer.compare(start.subarray(0, UNFINISHED_MARK.length), UNFINISHED_MARK) === 0;
}

/**
 * Refuses what a new image in place cannot have.
 * @throws Qcow2cError ERR_USAGE
 */
export function refuseNewInPlace(
  { name }: Target['file'],
  content: Exclude<FoundContent, 'image'>,
  { create }: ConvertOptions,
  overwrite: ConvertOptions['overwrite'],
): void {
  if (create?.backingFile !== undefined) {
    throw usageError(
      `${quoted(name)} holds no qcow2 image, and a new one made with -n cannot have a backing file: make it first, ` +
        "with 'qemu-img create -b'",
      { file: name },
    );
  }
  if (content !== 'nothing' && overwrite === 'same format') throw otherContent(name, 'qcow2', content.data);
}
