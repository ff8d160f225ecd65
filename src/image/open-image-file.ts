/** Opens the file of one image without the files that it names, for commands that examine the image itself. */
import { guessFormat, type Purpose, type Qcow2ImageHeader, readQcow2ImageHeader } from './image-header.js';
import { type ImageFormat, missingFileName } from './image-reference.js';
import { useOf } from './open-image.js';
import { type OpenNamedSettings, openNamed } from './open-named.js';
import type { WantedImage } from './referenced-files.js';
import type { OpenedFile } from './source.js';

export interface ImageFile {
  readonly file: OpenedFile;
  readonly format: ImageFormat;
  /** Of a qcow2 image. */
  readonly qcow2: Qcow2ImageHeader | undefined;
}

/**
 * @param purpose which parts of a qcow2 image are read
 * @returns the caller closes the file
 * @throws Qcow2cError ERR_IO, ERR_FORMAT, ERR_CORRUPT, ERR_UNSUPPORTED, ERR_USAGE, ERR_IN_USE when another process
 *   writes to a qcow2 image; no file stays open then
 */
export async function openImageFile(
  wanted: WantedImage,
  settings: OpenNamedSettings,
  purpose: Purpose = 'content',
): Promise<ImageFile> {
  if (wanted.file === '') throw missingFileName();
  const file = await openNamed(wanted, settings);
  try {
    const format = wanted.format ?? (await guessFormat(file, wanted));
    await file.lock(useOf(format, wanted.forceShare));
    return {
      file,
      format,
      qcow2: format === 'qcow2' ? await readQcow2ImageHeader(file, purpose) : undefined,
    };
  } catch (error) {
    await file.close();
    throw error;
  }
}
