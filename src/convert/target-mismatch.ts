/**
 * The errors of a target that was read back and is wrong. They name its files by their final names. For `verifyTarget`.
 */
import { Qcow2cError, quoted } from '../errors.js';
import type { OpenedImage } from '../image/open-image.js';
import type { WrittenTarget } from './output.js';

export class TargetMismatch {
  readonly #written: WrittenTarget;
  readonly #source: string;
  readonly #name: string;

  /**
   * @param source the name of the source
   * @param name of the target, as the caller gave it
   */
  constructor(written: WrittenTarget, source: string, name: string) {
    this.#written = written;
    this.#source = source;
    this.#name = name;
  }

  /** @param offset guest bytes @param what a clause */
  of(offset: number, what: string): Qcow2cError {
    return this.#error(offset, what, undefined);
  }

  /** The error of a failed read. */
  because(offset: number, cause: Qcow2cError): Qcow2cError {
    const { code, message } = cause;
    const names = [this.#written.reference.file, this.#written.reference.dataFile ?? ''];
    const reason = names.reduce(
      (text, name) => text.replaceAll(quoted(name), quoted(this.#shown(name))),
      message,
    );
    if (code === 'ERR_IO') return this.#unread(offset, reason, cause);
    return this.#error(offset, `it cannot be read: ${reason}`, cause);
  }

  /** The name, for messages, of a file of the target that is open. */
  nameOf(descriptor: number, { source }: OpenedImage): string {
    return this.#shown(source.fileOf(descriptor) ?? this.#name);
  }

  /** The name that a file under a temporary name gets. */
  #shown(name: string): string {
    const { reference, dataFileName = name } = this.#written;
    if (name === reference.dataFile) return dataFileName;
    return name === reference.file ? this.#name : name;
  }

  /** The result of `read`; its failures become errors of the target. @throws Qcow2cError; other errors unchanged */
  async about<T>(offset: number, read: () => Promise<T>): Promise<T> {
    try {
      return await read();
    } catch (error) {
      const isOfFile =
        error instanceof Qcow2cError &&
        !['ERR_ABORTED', 'ERR_WORKER', 'ERR_ENGINE', 'ERR_INTERNAL'].includes(error.code);
      throw isOfFile ? this.because(offset, error) : error;
    }
  }

  /** Nothing was compared, so nothing is known of the content. */
  #unread(offset: number, reason: string, cause: Qcow2cError): Qcow2cError {
    const state = this.#written.kind === 'new' ? '' : '; it was written in place, and is not verified';
    return new Qcow2cError('ERR_IO', `${quoted(this.#name)} cannot be read back: ${reason}${state}`, {
      ...this.#facts(offset, cause),
    });
  }

  #error(offset: number, what: string, cause: Qcow2cError | undefined): Qcow2cError {
    const expected = `the content of ${quoted(this.#source)}`;
    const state = this.#written.kind === 'new' ? '' : '; it was written in place, and is wrong now';
    const message = `${quoted(this.#name)} was read back and does not hold ${expected}: at guest offset ${offset} ${what}${state}`;
    return new Qcow2cError('ERR_CORRUPT', message, {
      ...this.#facts(offset, cause),
      expected,
    });
  }

  #facts(guestOffset: number, cause: Qcow2cError | undefined) {
    const { file = this.#name, offset, systemCode } = cause ?? {};
    return { file: this.#shown(file), offset, guestOffset, systemCode, cause };
  }
}
