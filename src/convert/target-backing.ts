/** The backing file of the new image. */
import { existsSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { ioError, Qcow2cError, quoted, reworded, usageError } from '../errors.js';
import { BackingChain } from '../image/backing-chain.js';
import { backingFilePath } from '../image/image-name.js';
import { type ImageFormat, type ImageReference, isImageFormat } from '../image/image-reference.js';
import { type OpenedImage, type OpenSettings, openImage, within } from '../image/open-image.js';
import { openImageFile } from '../image/open-image-file.js';
import { storedPlace, wantedByCaller } from '../image/referenced-files.js';
import type { Source } from '../image/source.js';
import { fileIdentity } from '../system/file-identity.js';
import { refuseLargerBacking } from './changed-clusters.js';
import { onlyImage, openSettings } from './image-input.js';
import type { Input } from './input.js';
import type { NamedTargetOptions } from './options.js';

/** The name as the target holds it; the format is trusted. */
type BackingReference = ImageReference & { readonly format: ImageFormat };

/** Closes its own layers when it is disposed of; that never throws. */
export interface TargetBacking extends AsyncDisposable {
  readonly source: Source;
  /** Its layers, unless they are the source's own. */
  readonly opened: OpenedImage | undefined;
  /** Every file that is read for it. */
  readonly files: readonly string[];
}

/**
 * Opens the backing file that the target is to have. With -n, only a bitmap needs the one that the target has.
 * @throws Qcow2cError as `openTargetBacking`; ERR_USAGE for a backing file that does not fit the bitmap
 */
export async function openBacking(
  { create = {}, target, keepTarget, bitmap, ...options }: NamedTargetOptions,
  { images }: Input,
): Promise<TargetBacking | undefined> {
  const { backingFile: file, backingFormat: format } = create;
  let reference: BackingReference | undefined;
  if (!keepTarget) {
    // `validate` refuses a backing file without a format.
    if (file !== undefined && format !== undefined) reference = { file, format };
  } else if (bitmap !== undefined) {
    reference = await backingOfExisting(target, file, options.nbd);
  }
  if (reference === undefined) return undefined;
  const image = images.length === 0 ? undefined : onlyImage({ images });
  const { forceShare, ...rest } = options;
  const backing = await openTargetBacking({ ...reference, forceShare }, target, image, openSettings(rest));
  if (image === undefined || bitmap === undefined) return backing;
  try {
    refuseLargerBacking(image.source, backing.source);
    return backing;
  } catch (error) {
    await backing[Symbol.asyncDispose]();
    throw error;
  }
}

/**
 * Opens the backing file. If it is one of the source's own files, the layers of the source serve for both: ranges that
 * no layer above it changed are then known to be equal without reading them.
 * @param target the name of the new image; empty for the null target
 * @param image the only source; undefined when there are several
 * @throws Qcow2cError as openImage
 */
export async function openTargetBacking(
  backing: BackingReference,
  target: string,
  image: OpenedImage | undefined,
  settings: OpenSettings,
): Promise<TargetBacking> {
  const allowNbd = settings.nbd?.allowBacking ?? false;
  const { file } = storedPlace(backing.file, allowNbd, () => backingFilePath(backing.file, target));
  try {
    const shared = image?.layers.slice(await sharedFrom(file, backing.format, image)) ?? [];
    const [top, ...below] = shared.map(({ layer }) => layer);
    if (top !== undefined) {
      const source = new BackingChain([top, ...below]);
      return { source, opened: undefined, files: [], [Symbol.asyncDispose]: async () => {} };
    }
    const opened = await openImage({ ...backing, file }, undefined, settings);
    const { source, files } = opened;
    return { source, opened, files, [Symbol.asyncDispose]: () => source.close() };
  } catch (error) {
    const owner = target === '' ? '' : ` of the target ${quoted(target)}`;
    throw within(`Could not open the backing file${owner}`, withPlace(error, backing.file, file));
  }
}

/**
 * The backing file of an image that is written in place.
 * @param named the backing file that the caller names; undefined: the target's, whichever it is
 * @throws Qcow2cError ERR_USAGE if the image has no backing file or another one; as openImageFile
 */
async function backingOfExisting(
  target: string,
  named: string | undefined,
  nbd: OpenSettings['nbd'],
): Promise<BackingReference> {
  const wanted = wantedByCaller({ file: target, format: 'qcow2', forceShare: true });
  const { file, qcow2 } = await openImageFile(wanted, { direct: false, nbd });
  await file.close();
  const name = qcow2?.backing;
  const format = qcow2?.extensions.backingFormat;
  const refuse = (why: string, found?: string) =>
    usageError(
      `${quoted(target)} ${why}: with -n and --bitmap the target must have the last backup as its backing file`,
      {
        file: target,
        expected: named,
        found,
      },
    );
  if (name === undefined) throw refuse('has no backing file');
  if (named !== undefined && named !== name) throw refuse(`has the backing file ${quoted(name)}`, name);
  if (!isImageFormat(format)) {
    throw refuse(`does not state the format of its backing file ${quoted(name)} as raw or qcow2`, format);
  }
  return { file: name, format };
}

/** Adds a hint when the file is missing beside the target but exists in the working directory. */
function withPlace(error: unknown, name: string, path: string): unknown {
  const isMissing = error instanceof Qcow2cError && error.systemCode === 'ENOENT' && error.file === path;
  if (!isMissing || name === path || !existsSync(name)) return error;
  const hint = `a relative name begins at the target's directory; the file here is ${quoted(resolve(name))}`;
  return reworded(error, `${error.message} (${hint})`);
}

/**
 * The index of the first layer of the source that is this file, with the same files that opening the target will find.
 * The number of layers if there is none.
 * @throws Qcow2cError ERR_IO
 */
async function sharedFrom(file: string, format: 'raw' | 'qcow2', { layers }: OpenedImage): Promise<number> {
  let identity: string | undefined;
  try {
    identity = fileIdentity(await stat(file, { bigint: true }));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
      throw ioError(`Could not open ${quoted(file)}`, error, { file });
  }
  const index = layers.findIndex(
    (layer, depth) =>
      layer.identity === identity &&
      layer.format === format &&
      layers.slice(depth).every(({ asNamed }) => asNamed),
  );
  return index < 0 ? layers.length : index;
}
