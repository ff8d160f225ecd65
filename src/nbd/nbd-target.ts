/** An NBD export as a target. It is written in place, as a block device is. */
import type { CacheMode } from '../storage/cache-mode.js';
import type { Target } from '../storage/target.js';
import { type NbdOptions, nbdSettings } from './connection-options.js';
import { ExportFile } from './export-file.js';
import { parseNbdName } from './nbd-name.js';

export type NbdTarget = Target & { readonly file: ExportFile };

/**
 * @param name of the export
 * @throws Qcow2cError ERR_USAGE for a malformed name; ERR_UNSUPPORTED without libnbd; ERR_IO
 */
export async function openNbdTarget(name: string, mode: CacheMode, options?: NbdOptions): Promise<NbdTarget> {
  const file = await ExportFile.open(parseNbdName(name), await nbdSettings(options), mode);
  let isSealed = false;
  const discard = () => file.close();
  const seal = async () => {
    if (isSealed) return;
    isSealed = true;
    try {
      await file.sync();
    } finally {
      // A server may take one client at a time, and the target may be read back now.
      await file.close();
    }
  };
  return {
    file,
    path: name,
    kind: 'device',
    existingSize: file.size,
    notices:
      mode === 'unsafe' || file.canBeDurable
        ? []
        : [
            'may lose what was written: its server cannot be asked to make it durable (neither flush nor FUA)',
          ],
    keepLength: () => {},
    seal,
    commit: seal,
    discard,
  };
}
