/** Opens the file, the block device or the NBD export that holds an image. */

import { type NbdOptions, nbdSettings } from '../nbd/connection-options.js';
import type { ExportFile } from '../nbd/export-file.js';
import type { NbdAddress } from '../nbd/nbd-name.js';
import { openRawSource } from '../raw/raw-source.js';
import type { OpenedFile } from './source.js';

/** A name, and the file or export that it stands for. */
export interface NamedPlace {
  /** The name for messages; of a file also its path. */
  readonly file: string;
  /**
   * The address of the export; undefined: the name is that of a file. A name stored in an image is an export's only
   * with the caller's permission (`storedPlace`).
   */
  readonly nbd?: NbdAddress | undefined;
}

export interface OpenNamedSettings {
  /** Use O_DIRECT if the file system supports it. */
  readonly direct: boolean;
  readonly nbd?: NbdOptions | undefined;
  /** Whether to ask the server of an NBD export for its exports and meta contexts. */
  readonly asksForLists?: boolean | undefined;
  /** See ExportRequest. */
  readonly written?: ExportFile | undefined;
}

/**
 * @param bitmap the dirty bitmap of an export that will be read
 * @throws Qcow2cError ERR_IO, ERR_UNSUPPORTED, ERR_USAGE
 */
export async function openNamed(
  { file, nbd }: NamedPlace,
  settings: OpenNamedSettings,
  bitmap?: string,
): Promise<OpenedFile> {
  if (nbd === undefined) return openRawSource(file, settings.direct);
  // Loaded on demand: other runs start faster.
  const { NbdSource } = await import('../nbd/nbd-source.js');
  return NbdSource.open(nbd, await nbdSettings(settings.nbd), {
    bitmap,
    asksForLists: settings.asksForLists,
    written: settings.written,
  });
}
