/** The digest of a disk that is read for it alone: the source of `checksum`, or a finished target. */
import { openImage } from '../image/open-image.js';
import type { NbdOptions } from '../nbd/connection-options.js';
import { type DigestSettings, digestDisk } from '../workers/digest-disk.js';
import { ITEM_BYTES } from '../workers/plan.js';
import { limitBudgetToDisk } from '../workers/worker-budget.js';
import { imageInput } from './image-input.js';
import type { Input } from './input.js';
import type { WrittenTarget } from './output.js';

/** As `digestDisk`. */
export function digestInput(input: Input, settings: DigestSettings): ReturnType<typeof digestDisk> {
  const { size, likelySize, arrives, readAlignment, compressionTypes, fileOf } = input;
  const planning = {
    ...{ itemSize: ITEM_BYTES, clusterSize: 1, keepZeros: false },
    ...{ backing: undefined, room: undefined, signal: settings.signal },
  };
  return digestDisk(
    {
      ...{ size, likelySize, arrives, readAlignment, compressionTypes, fileOf },
      items: (pool) => input.items(planning, pool),
    },
    settings,
  );
}

/**
 * The digest of a target that holds more than its source, such as an existing image with a larger disk.
 * @throws Qcow2cError for a target that cannot be read
 */
export async function digestTarget(
  { reference, direct }: WrittenTarget,
  { nbd, ...settings }: DigestSettings & { readonly nbd: NbdOptions | undefined },
): Promise<string> {
  await using input = imageInput([await openImage(reference, undefined, { direct, isolated: false, nbd })]);
  const budget = limitBudgetToDisk(settings.budget, input.size);
  return (await digestInput(input, { ...settings, budget })).digest;
}
