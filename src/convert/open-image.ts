/**
 * Opens one image with everything it stands on: its backing files and its external data file. Decides which
 * names are followed; every name in an image was chosen by whoever could write to it.
 */
import type { CompressionType } from '../compression-type.js';
import { Qcow2cError, quoted, usageError } from '../errors.js';
import { BackingChain } from '../image/backing-chain.js';
import { backingFilePath, dataFilePath } from '../image/image-name.js';
import type { ImageFormat, ImageReference } from '../image/image-reference.js';
import { PROBE_BYTES, probeFormat } from '../image/probe.js';
import type { Layer, Source } from '../image/source.js';
import { INCOMPATIBLE_DATA_FILE } from '../qcow2/features.js';
import { decodeHeader, type Header } from '../qcow2/header.js';
import {
  decodeBackingName,
  decodeExtensions,
  type HeaderExtensions,
  headerAreaBytes,
} from '../qcow2/header-extensions.js';
import { type ImageState, Qcow2Layer } from '../qcow2/qcow2-layer.js';
import { findSnapshot, type SnapshotSelector } from '../qcow2/snapshot-table.js';
import { RawPart } from '../raw/raw-part.js';
import { openForReading, RawSource } from '../raw/raw-source.js';

/** Bytes read to decode a header: more than any header that is accepted here. */
const HEADER_BYTES = 4096;

export interface OpenSettings {
  /** Read past the page cache where the file system can. */
  readonly direct: boolean;
  /** Refuse every file that an image names. */
  readonly isolated: boolean;
}

/** One image of a chain. */
export interface OpenedLayer {
  readonly layer: Layer;
  readonly format: ImageFormat;
  /** The same for every name of one file, and for no other. */
  readonly identity: string;
  /** A qcow2 image's file and what its first cluster says. */
  readonly qcow2: OpenedQcow2 | undefined;
  /** Whether the caller put something in the place of a file that the image names, or took a part of the file. */
  readonly isAltered: boolean;
}

export interface OpenedQcow2 {
  readonly file: RawSource;
  readonly header: Header;
  readonly extensions: HeaderExtensions;
}

export interface OpenedImage {
  /** What the guest sees; closes all layers. */
  readonly source: Source;
  /** Every file that is read, as it was named. */
  readonly files: readonly string[];
  /** The topmost first. */
  readonly layers: readonly [OpenedLayer, ...OpenedLayer[]];
  /** What offset, length and address of a read on any descriptor must be multiples of, in bytes. */
  readonly readAlignment: number;
  /** Of the layers that may hold compressed clusters. */
  readonly compressionTypes: ReadonlySet<CompressionType>;
}

/** An image to be opened, and whether somebody who may be trusted said what format it has. */
type Wanted = ImageReference & { readonly guessed: boolean };

/**
 * @param snapshot of the topmost image
 * @throws Qcow2cError ERR_IO, ERR_FORMAT, ERR_CORRUPT, ERR_UNSUPPORTED, ERR_USAGE; nothing stays open then
 */
export async function openImage(
  reference: ImageReference,
  snapshot: SnapshotSelector | undefined,
  settings: OpenSettings,
): Promise<OpenedImage> {
  const opening = new ChainOpening(settings);
  try {
    let next: Wanted | undefined = { ...reference, guessed: reference.format === undefined };
    while (next !== undefined)
      next = await opening.add(next, opening.layers.length === 0 ? snapshot : undefined);
  } catch (error) {
    await Promise.all(opening.layers.map(({ layer }) => layer.close()));
    throw withChain(error, opening.names);
  }
  const [top, ...below] = opening.layers;
  if (top === undefined) throw usageError('Must specify image file name');
  const source = new BackingChain([top.layer, ...below.map(({ layer }) => layer)]);
  const { names, dataFiles, readAlignment, compressionTypes } = opening;
  const files = [...names, ...dataFiles];
  return { source, files, layers: [top, ...below], readAlignment, compressionTypes };
}

/** The images opened so far, each the backing file of the one before. */
class ChainOpening {
  readonly layers: OpenedLayer[] = [];
  /** Every name that was tried, the topmost first. */
  readonly names: string[] = [];
  readonly dataFiles: string[] = [];
  readonly compressionTypes = new Set<CompressionType>();
  readAlignment = 1;
  readonly #settings: OpenSettings;

  constructor(settings: OpenSettings) {
    this.#settings = settings;
  }

  /** Opens one more image. @returns its backing file, if it has one */
  async add(wanted: Wanted, snapshot: SnapshotSelector | undefined): Promise<Wanted | undefined> {
    this.names.push(wanted.file);
    const file = await this.#openFile(wanted.file);
    let owned: { close(): Promise<void> } = file;
    try {
      if (this.layers.some(({ identity }) => identity === file.identity)) {
        throw new Qcow2cError(
          'ERR_CORRUPT',
          `The backing files of ${quoted(this.names[0] ?? '')} form a loop: \
${quoted(wanted.file)} is its own backing file`,
          { file: wanted.file },
        );
      }
      const format = wanted.format ?? (await probe(file));
      const isAltered = [wanted.backing, wanted.dataFile, wanted.offset, wanted.size].some(
        (said) => said !== undefined,
      );
      if (format === 'raw') {
        if (snapshot !== undefined) {
          throw usageError(`Failed to load snapshot: ${quoted(wanted.file)} is a raw image, which has none`);
        }
        const layer = RawPart.of(file, wanted.offset ?? 0, wanted.size);
        this.layers.push({ layer, format, identity: file.identity, qcow2: undefined, isAltered });
        return undefined;
      }
      const qcow2 = await readStart(file);
      const names = namesIn(qcow2);
      this.#refuseNames(wanted, names);
      const dataFile = await this.#openDataFile(wanted, qcow2, names.dataFile);
      if (dataFile !== undefined)
        owned = { close: async () => void (await Promise.all([file.close(), dataFile.close()])) };
      const state = snapshot === undefined ? undefined : await stateOf(qcow2, snapshot);
      const layer = new Qcow2Layer(qcow2.header, file, dataFile, state);
      const backing = this.#backingOf(wanted, qcow2.extensions, names.backing);
      this.layers.push({ layer, format, identity: file.identity, qcow2, isAltered });
      this.compressionTypes.add(qcow2.header.compressionType);
      return backing;
    } catch (error) {
      await owned.close();
      throw error;
    }
  }

  async #openFile(name: string): Promise<RawSource> {
    const { descriptor, direct } = openForReading(name, this.#settings.direct);
    const file = await RawSource.open(descriptor, name, direct);
    this.readAlignment = Math.max(this.readAlignment, file.readAlignment);
    return file;
  }

  /** A name in an image is followed only when somebody said that this is an image. */
  #refuseNames(wanted: Wanted, names: NamesInImage): void {
    const followed = [
      ...(names.backing !== undefined && wanted.backing === undefined
        ? [`the backing file ${quoted(names.backing)}`]
        : []),
      ...(names.dataFile !== undefined && wanted.dataFile === undefined
        ? [`the data file ${quoted(names.dataFile)}`]
        : []),
    ];
    const [first] = followed;
    if (first === undefined) return;
    const { file } = wanted;
    if (this.#settings.isolated) {
      throw new Qcow2cError('ERR_UNSUPPORTED', `${quoted(file)} names ${first}, which --isolated refuses`, {
        file,
      });
    }
    if (wanted.guessed) {
      throw new Qcow2cError(
        'ERR_UNSUPPORTED',
        `${quoted(file)} looks like a qcow2 image and names ${first}, but its format was not stated: a raw disk ` +
          "can hold a forged header that names any file; if the image is trusted, say so with '-f qcow2' or " +
          "--image-opts, and if it is a raw disk, with '-f raw'",
        { file },
      );
    }
  }

  async #openDataFile(
    wanted: Wanted,
    { file, header }: OpenedQcow2,
    stored: string | undefined,
  ): Promise<RawSource | undefined> {
    if ((header.incompatibleFeatures & INCOMPATIBLE_DATA_FILE) === 0n) return undefined;
    if (wanted.dataFile === undefined && stored === undefined) {
      const message = `${quoted(file.name)} keeps its data in another file, but does not name it; name it with --image-opts`;
      throw new Qcow2cError('ERR_CORRUPT', message, { file: file.name });
    }
    const name = wanted.dataFile ?? dataFilePath(stored ?? '', wanted.file);
    this.dataFiles.push(name);
    try {
      return await this.#openFile(name);
    } catch (error) {
      throw within(`Could not open the data file of ${quoted(wanted.file)}`, error);
    }
  }

  #backingOf(
    wanted: Wanted,
    { backingFormat }: HeaderExtensions,
    stored: string | undefined,
  ): Wanted | undefined {
    if (wanted.backing === 'none') return undefined;
    if (wanted.backing !== undefined) {
      // As in QEMU, the image's own word on the format counts for whatever stands in for its backing file.
      const stated = backingFormat === 'raw' || backingFormat === 'qcow2' ? backingFormat : undefined;
      const format = wanted.backing.format ?? stated;
      return { ...wanted.backing, format, guessed: format === undefined };
    }
    if (stored === undefined || stored === '') return undefined;
    const file = backingFilePath(stored, wanted.file);
    if (backingFormat === undefined || backingFormat === '') return { file, guessed: true };
    if (backingFormat === 'raw' || backingFormat === 'qcow2')
      return { file, format: backingFormat, guessed: false };
    throw new Qcow2cError(
      'ERR_UNSUPPORTED',
      `${quoted(wanted.file)} has a backing file in the format ${quoted(backingFormat)}, which qcow2c does not read; ` +
        'convert it with qemu-img first',
      { file: wanted.file, found: backingFormat, expected: 'raw or qcow2' },
    );
  }
}

interface NamesInImage {
  readonly backing: string | undefined;
  readonly dataFile: string | undefined;
}

function namesIn({
  header,
  extensions,
  backing,
}: OpenedQcow2 & { readonly backing?: string | undefined }): NamesInImage {
  const hasDataFile = (header.incompatibleFeatures & INCOMPATIBLE_DATA_FILE) !== 0n;
  return {
    backing: backing === '' ? undefined : backing,
    dataFile: hasDataFile ? extensions.dataFile : undefined,
  };
}

async function probe(file: RawSource): Promise<ImageFormat> {
  const start = new Uint8Array(PROBE_BYTES);
  return probeFormat(start.subarray(0, await file.read(0, start)), file.name);
}

/** Reads and checks header, extensions and the backing file's name. */
async function readStart(file: RawSource): Promise<OpenedQcow2 & { readonly backing: string | undefined }> {
  const first = new Uint8Array(HEADER_BYTES);
  const header = decodeHeader(first.subarray(0, await file.read(0, first)), file.name);
  if (header.cryptMethod !== 0) {
    const method = header.cryptMethod === 1 ? 'AES' : 'LUKS';
    throw new Qcow2cError(
      'ERR_UNSUPPORTED',
      `${quoted(file.name)} is encrypted (${method}), and qcow2c has no keys; decrypt it first, with ` +
        "'qemu-img convert --object secret,... --image-opts ...'",
      { file: file.name, found: method },
    );
  }
  const area = new Uint8Array(headerAreaBytes(header));
  const bytes = area.subarray(0, await file.read(0, area));
  const extensions = decodeExtensions(bytes, header, file.name);
  return { file, header, extensions, backing: decodeBackingName(bytes, header, file.name) };
}

async function stateOf({ file, header }: OpenedQcow2, selector: SnapshotSelector): Promise<ImageState> {
  const { l1Offset, l1Entries } = await findSnapshot(file, header, selector);
  return { l1Offset, l1Entries, virtualSize: header.virtualSize };
}

/** The error of a part, with what it was a part of in front. */
export function within(what: string, error: unknown): unknown {
  if (!(error instanceof Qcow2cError) || error.code === 'ERR_INTERNAL') return error;
  const { code, message, ...facts } = error;
  return new Qcow2cError(code, `${what}: ${message}`, { ...facts, cause: error });
}

/** Says of a backing file's error how it came to be looked at. */
function withChain(error: unknown, names: readonly string[]): unknown {
  const above = names.slice(0, -1);
  if (above.length === 0) return error;
  const [top = '', ...middle] = above;
  const steps = middle.map((name) => `: Could not open its backing file ${quoted(name)}`).join('');
  return within(`Could not open ${quoted(top)}${steps}: Could not open backing file`, error);
}
