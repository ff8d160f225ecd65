/** Opens the target of a conversion, and decides what a conversion may write into. */
import { quoted, usageError } from '../errors.js';
import { isNbdName } from '../nbd/nbd-name.js';
import type { NbdTarget, openNbdTarget as OpenNbdTarget } from '../nbd/nbd-target.js';
import type { openTarget } from '../storage/open-target.js';
import { RateLimit } from '../storage/rate-limit.js';
import type { Target } from '../storage/target.js';
import type { ConvertOptions, NamedTargetOptions } from './options.js';
import { refuseSameFile } from './same-file.js';
import {
  contentOfTarget,
  otherContent,
  refuseImageAsDataFile,
  refuseOtherContent,
} from './target-content.js';
import { noEffectInPlace } from './validate.js';

/** The place of a target's bytes. */
export type OutputTarget = Pick<Target, 'file' | 'kind' | 'existingSize'> & {
  readonly target: Target;
  /**
   * `nothing`: a new file, a device, or a file to be overwritten from its start. `image`: a qcow2 image that keeps its
   * options. `data`: a file whose bytes stay until the header of a new image is written.
   */
  readonly holds: 'nothing' | 'image' | 'data';
};

/** What the opening of the files of one target needs. */
type TargetOptions = Pick<
  NamedTargetOptions,
  | 'target'
  | 'targetFormat'
  | 'targetCache'
  | 'overwrite'
  | 'keepTarget'
  | 'create'
  | 'rateLimit'
  | 'nbd'
  | 'signal'
  | 'onWarning'
>;

/** Opens the files of one target, which share a rate limit. */
export class TargetOpener {
  readonly #options: TargetOptions;
  readonly #open: typeof openTarget;
  readonly #limit: RateLimit | undefined;
  readonly #readFiles: readonly string[];
  readonly #opened: Target[] = [];
  #writtenExport: NbdTarget['file'] | undefined;

  /** @param readFiles every file that the conversion reads */
  constructor(options: TargetOptions, open: typeof openTarget, readFiles: readonly string[]) {
    const { rateLimit } = options;
    this.#options = options;
    this.#open = open;
    this.#readFiles = readFiles;
    this.#limit = rateLimit === undefined ? undefined : new RateLimit(rateLimit);
  }

  /** The NBD export that was opened, if the target is one. */
  get writtenExport(): NbdTarget['file'] | undefined {
    return this.#writtenExport;
  }

  /**
   * Refuses a target that is one of the files to be read, or that probably is not meant to be overwritten. Opens no
   * file for writing.
   * @throws Qcow2cError ERR_USAGE, ERR_IO
   */
  async refuse(): Promise<void> {
    const { target, targetFormat = 'qcow2' } = this.#options;
    await refuseSameFile(this.#readFiles, target);
    // The content of a target for a qcow2 image in place is examined under the lock for writing.
    if (this.#asksForFormat() && !this.#writesImageInPlace()) await refuseOtherContent(target, targetFormat);
  }

  /**
   * Opens the target.
   * @throws Qcow2cError as `openTarget`; ERR_USAGE for content that must not be overwritten
   */
  async open(): Promise<OutputTarget> {
    const { target: name, keepTarget = false } = this.#options;
    const target = await this.#openFile(name, keepTarget);
    const { file, kind, existingSize } = target;
    const opened = { target, file, kind, existingSize };
    if (!this.#writesImageInPlace()) {
      // A raw disk makes an empty file grow, as it does a new one.
      const isEmpty = kind === 'existing' && existingSize === 0;
      return { ...opened, kind: isEmpty ? 'new' : kind, holds: 'nothing' };
    }
    const content = await contentOfTarget(target);
    if (content === 'image') {
      refuseCreation(this.#options.create);
      return { ...opened, holds: 'image' };
    }
    if (this.#options.create?.backingFile !== undefined) {
      throw usageError(
        `${quoted(name)} holds no qcow2 image, and a new one made with -n cannot have a backing file: make it first, ` +
          "with 'qemu-img create -b'",
        { file: name },
      );
    }
    if (content === 'nothing') return { ...opened, holds: 'nothing' };
    if (this.#asksForFormat()) throw otherContent(name, 'qcow2', content.data);
    return { ...opened, holds: 'data' };
  }

  /**
   * Opens an external data file.
   * @throws Qcow2cError as `openTarget`; ERR_USAGE for a file that is read, is the target or holds an image
   */
  async openDataFile(name: string): Promise<Target> {
    await refuseSameFile([...this.#readFiles, this.#options.target], name);
    await refuseImageAsDataFile(name);
    return this.#openFile(name, false, 'name another data file');
  }

  /** Discards every file that was opened, after an error. Never throws. */
  async discard(): Promise<void> {
    for (const target of this.#opened) await target.discard();
  }

  async #openFile(name: string, inPlace: boolean, remedy?: string): Promise<Target> {
    const { targetCache = 'none', nbd, signal, onWarning } = this.#options;
    let target: Target;
    if (isNbdName(name)) {
      const opened = await openExport(name, targetCache, nbd);
      this.#writtenExport = opened.file;
      target = opened;
    } else {
      target = await this.#open(name, targetCache, inPlace, remedy);
    }
    this.#opened.push(target);
    for (const notice of target.notices) onWarning?.(`${quoted(name)} ${notice}`);
    if (this.#limit !== undefined) target.file.limitRate(this.#limit, signal);
    return target;
  }

  #asksForFormat(): boolean {
    const { targetFormat, overwrite = targetFormat === undefined ? 'same format' : 'any' } = this.#options;
    return overwrite === 'same format';
  }

  #writesImageInPlace(): boolean {
    const { targetFormat = 'qcow2', keepTarget = false } = this.#options;
    return keepTarget && targetFormat === 'qcow2';
  }
}

/** Opens an export that is named as the target; no data file is one. */
const openExport: typeof OpenNbdTarget = async (...parameters) => {
  // Loaded on demand: other runs start faster.
  const { openNbdTarget } = await import('../nbd/nbd-target.js');
  return openNbdTarget(...parameters);
};

/** An existing image keeps its own options. It has its own backing file too, as in qemu-img. */
function refuseCreation({
  backingFile: _,
  backingFormat: __,
  size: ___,
  ...create
}: ConvertOptions['create'] = {}): void {
  if (Object.values(create).every((value) => value === undefined)) return;
  throw noEffectInPlace();
}
