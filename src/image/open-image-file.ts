/** Opens the file of one image without the files that it names, for commands that examine the image itself. */
import { usageError } from '../errors.js';
import { openRawSource, type RawSource } from '../raw/raw-source.js';
import { guessFormat, type Purpose, type Qcow2ImageHeader, readQcow2ImageHeader } from './image-header.js';
import type { ImageFormat, ImageReference } from './image-reference.js';
import { useOf } from './open-image.js';

export interface ImageFile {
  readonly file: RawSource;
  readonly format: ImageFormat;
  /** Of a qcow2 image. */
  readonly qcow2: Qcow2ImageHeader | undefined;
}

/**
 * @param direct use O_DIRECT if the file system supports it
 * @param purpose which parts of a qcow2 image are read
 * @returns the caller closes the file
 * @throws Qcow2cError ERR_IO, ERR_FORMAT, ERR_CORRUPT, ERR_UNSUPPORTED, ERR_USAGE, ERR_IN_USE when another process
 *   writes to a qcow2 image; no file stays open then
 */
export async function openImageFile(
  reference: ImageReference,
  direct: boolean,
  purpose: Purpose = 'content',
): Promise<ImageFile> {
  if (reference.file === '') throw usageError('Must specify image file name');
  const file = await openRawSource(reference.file, direct);
  try {
    const format = reference.format ?? (await guessFormat(file));
    await file.lock(useOf(format, reference.forceShare));
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
