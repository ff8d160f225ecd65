/** An image in a file without a name, from which it is sent to a stream. */
import type { FileHandle } from 'node:fs/promises';
import { quoted } from '../errors.js';
import { descriptorPath } from '../system/descriptor-facts.js';
import type { CacheMode } from './cache-mode.js';
import { DirectFile } from './direct-file.js';
import type { OutputStream } from './output-stream.js';
import type { Target } from './target.js';
import { openUnnamedFile, readBack } from './unnamed-file.js';

const PIECE_BYTES = 2 ** 20;

export class SpoolFile implements AsyncDisposable {
  readonly #handle: FileHandle;
  readonly #directory: string;

  /** @throws Qcow2cError ERR_IO */
  static async open(directory: string): Promise<SpoolFile> {
    return new SpoolFile(await openUnnamedFile(directory), directory);
  }

  private constructor(handle: FileHandle, directory: string) {
    this.#handle = handle;
    this.#directory = directory;
  }

  get #name(): string {
    return `temporary file in ${this.#directory}`;
  }

  /** @returns the file as a target, which can be read back by its path @throws Qcow2cError ERR_IO */
  async target(mode: CacheMode): Promise<Target> {
    const path = descriptorPath(this.#handle.fd);
    const file = await DirectFile.open(path, this.#name, mode);
    file.setFullDiskAdvice('name a directory with room for the whole image');
    const seal = (length: number) => file.truncate(length);
    return {
      file,
      path,
      kind: 'new',
      existingSize: 0,
      notices: [],
      keepLength: () => {},
      seal,
      commit: async (length) => {
        await seal(length);
        await file.close();
      },
      discard: () => file.close().catch(() => {}),
    };
  }

  /**
   * Writes the complete image to the stream and ends it.
   * @param length bytes
   * @param onProgress called with the bytes written so far
   * @throws Qcow2cError ERR_IO, ERR_ABORTED
   */
  async sendTo(stream: OutputStream, length: number, onProgress: (sent: number) => void): Promise<void> {
    const memory = new Uint8Array(PIECE_BYTES);
    for (let at = 0; at < length; at += memory.length) {
      const piece = memory.subarray(0, Math.min(memory.length, length - at));
      await this.#read(at, piece);
      await stream.write(piece);
      onProgress(at + piece.length);
    }
    await stream.end();
  }

  async #read(offset: number, into: Uint8Array): Promise<void> {
    const file = this.#name;
    const what = `Could not read the ${quoted(file)} at offset ${offset}`;
    await readBack(this.#handle, offset, into, what, { file, offset });
  }

  /** Frees the file; never throws. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle.close().catch(() => {});
  }
}
