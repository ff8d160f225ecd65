/** The digest of a finished target that holds more than its source: an existing image with a larger disk. */
import { openImage } from '../image/open-image.js';
import type { NbdOptions } from '../nbd/nbd-options.js';
import { type DigestSettings, digestDisk } from '../workers/digest-disk.js';
import { ITEM_BYTES, plan } from '../workers/plan.js';
import { limitBudgetToDisk } from '../workers/worker-budget.js';
import type { WrittenTarget } from './output.js';

/** @throws Qcow2cError for a target that cannot be read */
export async function digestTarget(
  { reference, direct }: WrittenTarget,
  { nbd, ...settings }: DigestSettings & { readonly nbd: NbdOptions | undefined },
): Promise<string> {
  await using target = await openImage(reference, undefined, { direct, isolated: false, nbd });
  const { source, readAlignment, compressionTypes } = target;
  const { size } = source;
  const { signal } = settings;
  const disk = {
    ...{ size, likelySize: size, arrives: false, readAlignment, compressionTypes },
    fileOf: (descriptor: number) => source.fileOf(descriptor),
    items: () => {
      const items = plan(source, { itemSize: ITEM_BYTES, keepZeros: false, signal });
      return async () => (await items.next()).value ?? undefined;
    },
  };
  const budget = limitBudgetToDisk(settings.budget, size);
  return (await digestDisk(disk, { ...settings, budget })).digest;
}
