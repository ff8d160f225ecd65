/** Verifies the images of lists, with the lines, the warnings and the exit codes of sha256sum -c. */
import { Qcow2cError, quoted } from '../../errors.js';
import type { CommandIo } from '../command-io.js';
import { failureText, messageLine } from '../failure.js';
import type { QapiObject } from '../options/qapi-object.js';
import { errorObject, type Outcome } from './digest-image.js';
import { listEntries } from './list-file.js';
import { escapedName, type ListedDigest } from './list-line.js';
import { type ChecksumRequest, STANDARD_INPUT } from './request.js';

/** The lines of one list. */
interface Counts {
  wellFormed: number;
  malformed: number;
  unreadable: number;
  different: number;
  matching: number;
}

export class ListVerification {
  readonly #request: ChecksumRequest;
  readonly #stderr: CommandIo['stderr'];
  readonly #digest: (name: string) => Promise<Outcome>;
  readonly #print: (text: string, object: QapiObject) => Promise<void>;

  /**
   * @param digest computes the digest of an image, and prints why it could not be read
   * @param print prints a line, or the object in its place
   */
  constructor(
    request: ChecksumRequest,
    { stderr }: Pick<CommandIo, 'stderr'>,
    digest: (name: string) => Promise<Outcome>,
    print: (text: string, object: QapiObject) => Promise<void>,
  ) {
    this.#request = request;
    this.#stderr = stderr;
    this.#digest = digest;
    this.#print = print;
  }

  /** @returns the exit code */
  async run(): Promise<number> {
    let code = 0;
    for (const list of this.#request.files) {
      const ended = await this.#verifyList(list);
      if (typeof ended === 'number') return ended;
      if (!ended.isGood) code = 1;
    }
    return code;
  }

  /** @returns whether the list is verified, or the exit code of a signal */
  async #verifyList(list: string): Promise<{ readonly isGood: boolean } | number> {
    const counts: Counts = { wellFormed: 0, malformed: 0, unreadable: 0, different: 0, matching: 0 };
    try {
      for await (const { number, content } of listEntries(list === STANDARD_INPUT ? undefined : list)) {
        if (content === 'malformed') {
          counts.malformed += 1;
          if (this.#request.words.warn) this.#say(`${list}: ${number}: improperly formatted checksum line`);
        } else if (content === 'unreadable') {
          counts.wellFormed += 1;
          counts.unreadable += 1;
          this.#say(`${quoted(list)}: line ${number}: the name is not UTF-8, so the image cannot be opened`);
        } else {
          counts.wellFormed += 1;
          const exitCode = await this.#verifyImage(content, counts);
          if (exitCode !== undefined) return exitCode;
        }
      }
    } catch (error) {
      if (!(error instanceof Qcow2cError) || error.code === 'ERR_INTERNAL') throw error;
      this.#stderr.write(failureText(error, false));
      return { isGood: false };
    }
    return { isGood: this.#judge(list, counts) };
  }

  /** @returns the exit code of a signal */
  async #verifyImage({ digest: expected, name }: ListedDigest, counts: Counts): Promise<number | undefined> {
    const { words } = this.#request;
    const outcome = await this.#digest(name);
    if ('exitCode' in outcome) return outcome.exitCode;
    // As in sha256sum, only a name that would break the line is escaped.
    const { mark, text } = /[\n\r]/.test(name) ? escapedName(name) : { mark: '', text: name };
    const line = (result: string) => (words.status ? '' : `${mark}${text}: ${result}\n`);
    if ('error' in outcome) {
      const { error } = outcome;
      if (words.ignoreMissing && error.systemCode === 'ENOENT') return undefined;
      counts.unreadable += 1;
      const object = { filename: name, expected, result: 'unreadable', error: errorObject(error) };
      await this.#print(line('FAILED open or read'), object);
      return undefined;
    }
    const { digest } = outcome.result;
    const matches = digest === expected;
    counts[matches ? 'matching' : 'different'] += 1;
    const object = { filename: name, expected, digest, result: matches ? 'ok' : 'failed' };
    await this.#print(matches ? (words.quiet ? '' : line('OK')) : line('FAILED'), object);
    return undefined;
  }

  /** Prints the warnings about a list. @returns whether it is verified */
  #judge(list: string, { wellFormed, malformed, unreadable, different, matching }: Counts): boolean {
    const { ignoreMissing, strict } = this.#request.words;
    if (wellFormed === 0) {
      this.#say(`${list}: no properly formatted checksum lines found`);
      return false;
    }
    const isOne = (count: number) => count === 1;
    if (malformed > 0) {
      this.#warn(`${malformed} ${isOne(malformed) ? 'line is' : 'lines are'} improperly formatted`);
    }
    if (unreadable > 0) {
      this.#warn(`${unreadable} listed ${isOne(unreadable) ? 'file' : 'files'} could not be read`);
    }
    if (different > 0) {
      this.#warn(`${different} computed ${isOne(different) ? 'checksum' : 'checksums'} did NOT match`);
    }
    const isUnverified = ignoreMissing === true && matching + different + unreadable === 0;
    if (isUnverified) this.#say(`${list}: no file was verified`);
    return different + unreadable === 0 && !isUnverified && !(strict && malformed > 0);
  }

  #warn(text: string): void {
    if (!this.#request.words.status) this.#say(`WARNING: ${text}`);
  }

  #say(text: string): void {
    this.#stderr.write(messageLine(text));
  }
}
