/**
 * Describes an image, or every image of its backing chain. Only the image itself is opened, not its backing file and
 * not its data file. With the chain, names of backing files are followed without a check of their origin; only headers
 * and tables of these files are shown, no data.
 */
import { fstat } from 'node:fs';
import { promisify } from 'node:util';
import { Qcow2cError, quoted } from '../errors.js';
import type { Examination, examineImage } from '../examine/examine-image.js';
import { type Qcow2ImageHeader, warnOfCutDisk } from '../image/image-header.js';
import { backingFilePath } from '../image/image-name.js';
import { imageReference, isImageFormat } from '../image/image-reference.js';
import { type ImageFile, openImageFile } from '../image/open-image-file.js';
import { storedPlace, type WantedImage, wantedByCaller } from '../image/referenced-files.js';
import { isExportNumber } from '../nbd/open-exports.js';
import { RawPart } from '../raw/raw-part.js';
import { SECTOR_SIZE } from '../sector.js';
import { isIdentityOfFile } from '../system/file-identity.js';
import { endPromptly } from '../workers/prompt-abort.js';
import { describeQcow2 } from './describe-qcow2.js';
import { examineImages } from './examine-images.js';
import type { ImageInfo, ImageInfoOptions } from './image-info.js';

/**
 * @returns the image, then with backingChain its backing file, that one's, and so on
 * @throws Qcow2cError ERR_IO, ERR_FORMAT, ERR_CORRUPT (also when the chain is a loop), ERR_UNSUPPORTED (also for a
 *   backing file that is not a file, or in a format other than raw and qcow2), ERR_IN_USE, ERR_USAGE; with deep also
 *   ERR_ABORTED, ERR_WORKER and ERR_ENGINE
 */
export function imageInfo(options: ImageInfoOptions): Promise<ImageInfo[]> {
  return imageInfoWith(options, async (image, how) => {
    // Loaded on demand: other runs start faster.
    const pipeline = await import('../examine/examine-image.js');
    return pipeline.examineImage(image, how);
  });
}

/** `imageInfo` with its replaceable part. */
export async function imageInfoWith(
  options: ImageInfoOptions,
  examine: typeof examineImage,
): Promise<ImageInfo[]> {
  return endPromptly(options.signal, () => describeImages(options, examine));
}

async function describeImages(options: ImageInfoOptions, examine: typeof examineImage): Promise<ImageInfo[]> {
  const images: NamedImage[] = [];
  try {
    let next: WantedImage | undefined = wantedByCaller(imageReference(options.image));
    while (next !== undefined) {
      const image = await openImageFile(
        next,
        { direct: false, nbd: options.nbd, asksForLists: true },
        'description',
      );
      images.push({ ...image, reference: next });
      if (image.qcow2 !== undefined) warnOfCutDisk(image.qcow2, options.onWarning);
      refuseLoop(images);
      next = options.backingChain ? backingOf(next, image.qcow2, options.nbd?.allowBacking) : undefined;
    }
    const deep = options.deep ? await examineImages(images, options, examine) : [];
    const infos: ImageInfo[] = [];
    for (const [index, image] of images.entries()) infos.push(await describe(image, deep[index]));
    return infos;
  } finally {
    await Promise.all(images.map(({ file }) => file.close()));
  }
}

interface NamedImage extends ImageFile {
  readonly reference: WantedImage;
}

function refuseLoop(images: readonly NamedImage[]): void {
  const last = images.at(-1)?.file;
  if (last === undefined || !images.slice(0, -1).some(({ file }) => file.identity === last.identity)) return;
  const message = `Backing file ${quoted(last.name)} creates an infinite loop.`;
  throw new Qcow2cError('ERR_CORRUPT', message, { file: last.name });
}

/** The backing file of the caller replaces the image's; `forceShare` applies to the whole chain. */
function backingOf(
  { file, backing, forceShare }: WantedImage,
  qcow2: Qcow2ImageHeader | undefined,
  allowNbd = false,
): WantedImage | undefined {
  if (qcow2 === undefined || backing === 'none') return undefined;
  if (backing !== undefined) {
    return wantedByCaller({ ...backing, forceShare: forceShare || backing.forceShare });
  }
  if (qcow2.backing === undefined) return undefined;
  // Bytes that are not UTF-8 were replaced, so the name would lead to another file.
  if (qcow2.backing.includes('\ufffd')) {
    const message = `${quoted(file)} has the backing file ${quoted(qcow2.backing)}, whose name is not UTF-8`;
    throw new Qcow2cError('ERR_UNSUPPORTED', message, { file, expected: 'UTF-8' });
  }
  const { backingFormat: format } = qcow2.extensions;
  const name = qcow2.backing;
  const place = storedPlace(name, allowNbd, () => backingFilePath(name, file));
  if (format === undefined) return { ...place, unstatedBy: 'overlay', forceShare };
  if (isImageFormat(format)) return { ...place, format, forceShare };
  throw new Qcow2cError(
    'ERR_UNSUPPORTED',
    `${quoted(file)} has a backing file in the format ${quoted(format)}, which qcow2c does not read`,
    { file, found: format, expected: 'raw or qcow2' },
  );
}

async function describe(
  { reference, file, format, qcow2 }: NamedImage,
  deep: Examination | undefined,
): Promise<ImageInfo> {
  const { offset = 0, size } = reference;
  const blocks = isExportNumber(file.descriptor)
    ? undefined
    : (await promisify(fstat)(file.descriptor)).blocks;
  return {
    file: file.name,
    format,
    virtualSize:
      qcow2 === undefined
        ? RawPart.of(file, offset, size).size
        : qcow2.header.virtualSize - (qcow2.header.virtualSize % SECTOR_SIZE),
    fileSize: file.size,
    diskSize: blocks === undefined ? undefined : blocks * SECTOR_SIZE,
    nbd: file.description,
    isDevice: !isIdentityOfFile(file.identity),
    qcow2: qcow2 === undefined ? undefined : { ...(await describeQcow2(qcow2)), deep },
  };
}
