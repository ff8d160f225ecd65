/**
 * Opens an image with all its backing files and external data files. If one of them cannot be opened, all are closed.
 */
import type { CompressionType } from '../compression-type.js';
import { internalError, Qcow2cError, quoted, reworded, usageError } from '../errors.js';
import { Qcow2Layer } from '../qcow2/qcow2-layer.js';
import type { SnapshotSelector } from '../qcow2/snapshot-table.js';
import { RawPart } from '../raw/raw-part.js';
import type { LockUse } from '../system/image-lock.js';
import { BackingChain } from './backing-chain.js';
import { bitmapOfExport, openBitmap } from './dirty-bitmap.js';
import {
  exportFormat,
  guessFormat,
  type Qcow2ImageHeader,
  readQcow2ImageHeader,
  snapshotState,
  warnOfCutDisk,
} from './image-header.js';
import type { ImageFormat, ImageReference } from './image-reference.js';
import { type NamedPlace, type OpenNamedSettings, openNamed } from './open-named.js';
import { resolveReferencedFiles, type WantedImage, wantedByCaller } from './referenced-files.js';
import type { ChangeMap, Layer, OpenedFile, Source } from './source.js';

/** The lock to take on a file. A raw disk may have writers unless it is copied. */
export function useOf(format: ImageFormat, forceShare = false, copies = false): LockUse {
  return forceShare || (format === 'raw' && !copies) ? 'read beside writers' : 'read';
}

export interface OpenSettings extends OpenNamedSettings {
  /** Whether the whole disk is copied. A raw disk then may not have writers. */
  readonly copies?: boolean;
  /** Refuse all files that an image names. */
  readonly isolated: boolean;
  /** Called with one sentence for each warning. */
  readonly onWarning?: ((message: string) => void) | undefined;
  /** Whether later writes to the files are detected (`refuseChanges`). */
  readonly detectsChanges?: boolean;
  /** The dirty bitmap of the topmost image to open. */
  readonly bitmap?: string | undefined;
}

/** Whether this thread has warned already that holes cannot be found; it warns once. */
let hasWarnedOfHoles = false;

/** One image of a chain. */
export interface OpenedLayer {
  readonly layer: Layer;
  readonly format: ImageFormat;
  /** Equal for all names of one file, and different for other files. */
  readonly identity: string;
  /** Whether the whole image was opened with the files that it names, as any other program would open it. */
  readonly asNamed: boolean;
  /** A qcow2 image's file and the contents of its first cluster. */
  readonly qcow2: Qcow2ImageHeader | undefined;
}

/** Closes its layers when it is disposed of; that never throws. */
export interface OpenedImage extends AsyncDisposable {
  /** The disk that the guest sees; closing it closes all layers. */
  readonly source: Source;
  /** The names of all files and exports that are read, as given. */
  readonly files: readonly string[];
  /** The topmost first. */
  readonly layers: readonly [OpenedLayer, ...OpenedLayer[]];
  /** Offset, length and address of a read on any of the descriptors must be multiples of this many bytes. */
  readonly readAlignment: number;
  /** Compression types of the layers that may contain compressed clusters. */
  readonly compressionTypes: ReadonlySet<CompressionType>;
  /** Milliseconds waited until every later write had to change the times of its file. */
  readonly settledMs: number;
  /** Opens the requested dirty bitmap for one walk; undefined if none was requested. */
  readonly changes: (() => ChangeMap) | undefined;
}

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
    let next = await opening.add(wantedByCaller(reference), snapshot);
    while (next !== undefined) next = await opening.add(next, undefined);
  } catch (error) {
    await Promise.all(opening.layers.map(({ layer }) => layer.close()));
    throw withChain(error, opening.names);
  }
  const [top, ...below] = opening.layers;
  if (top === undefined) throw internalError('a chain was opened without an image');
  const source = new BackingChain([top.layer, ...below.map(({ layer }) => layer)]);
  const { names, dataFiles, readAlignment, compressionTypes, settledMs, changes } = opening;
  return {
    source,
    files: [...names, ...dataFiles],
    layers: [top, ...below],
    readAlignment,
    compressionTypes,
    settledMs,
    changes,
    [Symbol.asyncDispose]: () => source.close(),
  };
}

/** The images opened so far, each the backing file of the one before. */
class ChainOpening {
  readonly layers: OpenedLayer[] = [];
  /** The names of all images tried so far, the topmost first. */
  readonly names: string[] = [];
  readonly dataFiles: string[] = [];
  readonly compressionTypes = new Set<CompressionType>();
  readAlignment = 1;
  settledMs = 0;
  /** Opens the requested bitmap of the topmost image. */
  changes: (() => ChangeMap) | undefined;
  readonly #settings: OpenSettings;
  /** Options of an image also apply to its backing files. */
  #forceShare = false;

  constructor(settings: OpenSettings) {
    this.#settings = settings;
  }

  /** Opens one more image. @returns its backing file, if it has one */
  async add(wanted: WantedImage, snapshot: SnapshotSelector | undefined): Promise<WantedImage | undefined> {
    this.names.push(wanted.file);
    this.#forceShare ||= wanted.forceShare ?? false;
    const bitmap = this.names.length === 1 ? this.#settings.bitmap : undefined;
    const file = await this.#openFile(wanted, bitmap);
    const opened = [file];
    try {
      this.#refuseLoop(file);
      const format = wanted.format ?? (await this.#formatOf(wanted, file));
      const use = useOf(format, this.#forceShare, this.#settings.copies);
      await file.lock(use);
      if (format === 'raw') {
        if (bitmap !== undefined) this.changes = bitmapOfExport(file, bitmap, wanted.offset);
        this.#addRaw(wanted, file, snapshot);
        this.#warnOfHoles(file);
        return undefined;
      }
      const qcow2 = await readQcow2ImageHeader(file);
      const { backing, dataFile: dataPlace } = resolveReferencedFiles(
        wanted,
        qcow2,
        this.#settings.isolated,
        this.#settings.nbd?.allowBacking,
      );
      const dataFile = dataPlace === undefined ? undefined : await this.#openDataFile(wanted, dataPlace);
      if (dataFile !== undefined) {
        opened.push(dataFile);
        await dataFile.lock(use);
        this.#warnOfHoles(dataFile);
      }
      const state = snapshot === undefined ? undefined : await snapshotState(qcow2, snapshot);
      if (bitmap !== undefined) this.changes = await openBitmap(qcow2, bitmap);
      warnOfCutDisk(qcow2, this.#settings.onWarning);
      const layer = new Qcow2Layer(qcow2.header, file, dataFile, state);
      const asNamed = wanted.backing === undefined && wanted.dataFile === undefined && snapshot === undefined;
      this.layers.push({ layer, format, identity: file.identity, asNamed, qcow2 });
      this.compressionTypes.add(qcow2.header.compressionType);
      return backing;
    } catch (error) {
      await Promise.all(opened.map((source) => source.close()));
      throw error;
    }
  }

  #refuseLoop({ name, identity }: OpenedFile): void {
    if (!this.layers.some((layer) => layer.identity === identity)) return;
    const [top = ''] = this.names;
    throw new Qcow2cError(
      'ERR_CORRUPT',
      `The backing files of ${quoted(top)} form a loop: ${quoted(name)} is its own backing file`,
      { file: name },
    );
  }

  #addRaw(wanted: WantedImage, file: OpenedFile, snapshot: SnapshotSelector | undefined): void {
    const { file: name, backing, dataFile, offset = 0, size } = wanted;
    if (snapshot !== undefined) {
      throw usageError(`Failed to load snapshot: ${quoted(name)} is a raw image, which has no snapshots`);
    }
    const given = backing !== undefined ? 'backing' : dataFile !== undefined ? 'data-file' : undefined;
    if (given !== undefined) {
      const why = `Block format 'raw' does not support the option '${given}'`;
      throw usageError(`Could not open ${quoted(name)}: ${why}`, { file: name });
    }
    const layer = RawPart.of(file, offset, size);
    this.layers.push({
      layer,
      format: 'raw',
      identity: file.identity,
      asNamed: layer === file,
      qcow2: undefined,
    });
  }

  #warnOfHoles({ hasLostHoles, name }: OpenedFile): void {
    const { onWarning } = this.#settings;
    if (!hasLostHoles || hasWarnedOfHoles || onWarning === undefined) return;
    hasWarnedOfHoles = true;
    onWarning(
      `The holes of ${quoted(name)} are read like data, which is slow: neither the package koffi nor fs-ext works ` +
        'here; npm install without --omit=optional installs both',
    );
  }

  #formatOf(wanted: WantedImage, file: OpenedFile): Promise<ImageFormat> {
    return wanted.nbd === undefined
      ? guessFormat(file, wanted)
      : exportFormat(file, this.#settings.onWarning);
  }

  async #openFile(place: NamedPlace, bitmap?: string): Promise<OpenedFile> {
    const file = await openNamed(place, this.#settings, bitmap);
    try {
      if (this.#settings.detectsChanges) this.settledMs += await file.settle();
    } catch (error) {
      await file.close();
      throw error;
    }
    this.readAlignment = Math.max(this.readAlignment, file.readAlignment);
    return file;
  }

  async #openDataFile({ file }: WantedImage, place: NamedPlace): Promise<OpenedFile> {
    this.dataFiles.push(place.file);
    try {
      return await this.#openFile(place);
    } catch (error) {
      throw within(`Could not open ${quoted(file)}: Could not open data file`, error);
    }
  }
}

/** Puts the name of the failing part in front of an error's message. */
export function within(what: string, error: unknown): unknown {
  if (!(error instanceof Qcow2cError) || error.code === 'ERR_INTERNAL') return error;
  return reworded(error, `${what}: ${error.message}`);
}

/** Adds to the error of a backing file the names of the images above it. */
function withChain(error: unknown, names: readonly string[]): unknown {
  const above = names.slice(0, -1);
  if (above.length === 0) return error;
  const [top = '', ...middle] = above;
  const steps = middle.map((name) => `: Could not open its backing file ${quoted(name)}`).join('');
  return within(`Could not open ${quoted(top)}${steps}: Could not open backing file`, error);
}
