/** Collects the contents of an image's picture, in memory that does not grow with the image. */
import type { CompressionType } from '../compression-type.js';
import { type ImageFormat, imageReference } from '../image/image-reference.js';
import { openImage } from '../image/open-image.js';
import { clusterSizeOf } from '../qcow2/geometry.js';
import { Qcow2Layer } from '../qcow2/qcow2-layer.js';
import type { Cells } from './cells.js';
import type { MapOptions } from './options.js';
import { type DiskKind, surveyDisk } from './survey-disk.js';
import { type FileSurvey, surveyQcow2Files, surveyRawFile } from './survey-file.js';

export interface ImageSurvey {
  readonly name: string;
  readonly format: ImageFormat;
  /** Bytes. */
  readonly virtualSize: number;
  /** Of a qcow2 image: bytes, and the compression type. */
  readonly clusterSize: number | undefined;
  readonly compressionType: CompressionType | undefined;
  /** Names, the one directly below first. */
  readonly backingFiles: readonly string[];
  readonly disk: Cells<DiskKind>;
  /** The image's own file, and its external data file. */
  readonly files: readonly FileSurvey[];
}

/**
 * Walks the tables of an image and its backing files, and reads no data.
 * @throws Qcow2cError as mapImage
 */
export async function surveyImage(options: MapOptions): Promise<ImageSurvey> {
  const { image, isolated = false, onWarning, nbd } = options;
  const settings = { direct: false, isolated, onWarning, nbd };
  await using opened = await openImage(imageReference(image), undefined, settings);
  const [top, ...below] = opened.layers;
  const { layer, format, qcow2 } = top;
  const clusterSize = qcow2 && clusterSizeOf(qcow2.header);
  const disk = await surveyDisk(opened, options, clusterSize);
  return {
    name: layer.name,
    format,
    virtualSize: layer.size,
    clusterSize,
    compressionType: qcow2?.header.compressionType,
    backingFiles: below.map(({ layer }) => layer.name),
    disk,
    files:
      layer instanceof Qcow2Layer && qcow2 !== undefined
        ? await surveyQcow2Files(layer, qcow2, disk)
        : [await surveyRawFile(layer)],
  };
}
