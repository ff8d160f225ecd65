/** An NBD export as a source: its map from base:allocation, and reads of its tables and clusters. */
import { roundDown, roundUp } from '../arithmetic.js';
import { Qcow2cError, quoted, usageError } from '../errors.js';
import type { ChangeMap, MappedRange, OpenedFile } from '../image/source.js';
import { SECTOR_SIZE } from '../sector.js';
import { BASE_ALLOCATION, BlockStatus, READS_AS_ZEROS, type StatusRange } from './block-status.js';
import { loadLibnbd } from './libnbd.js';
import { NbdConnection } from './nbd-connection.js';
import { NbdFailure, nbdError, readError } from './nbd-failure.js';
import type { NbdHandle, NbdSettings } from './nbd-handle.js';
import { exportIdentity, type NbdAddress } from './nbd-name.js';
import { forgetExport, type OpenExport, registerExport } from './open-exports.js';

export class NbdSource implements OpenedFile {
  readonly name: string;
  readonly size: number;
  readonly identity: string;
  readonly descriptor: number;
  readonly readAlignment = 1;
  readonly hasLostHoles = false;
  readonly #opened: OpenExport;
  #connection: NbdConnection;
  readonly #statuses = new Map<string, BlockStatus>();

  /**
   * Connects to an export.
   * @param bitmap the name of a dirty bitmap that will be read
   * @throws Qcow2cError ERR_UNSUPPORTED without libnbd; ERR_IO
   */
  static async open(address: NbdAddress, settings: NbdSettings, bitmap?: string): Promise<NbdSource> {
    const wanted = [BASE_ALLOCATION, ...(bitmap === undefined ? [] : [bitmapContext(bitmap)])];
    const connection = await connect(address, settings, wanted);
    try {
      return new NbdSource(address, settings, connection, wanted);
    } catch (error) {
      connection.close();
      throw connectError(address.name, error);
    }
  }

  private constructor(
    address: NbdAddress,
    settings: NbdSettings,
    connection: NbdConnection,
    contexts: readonly string[],
  ) {
    const facts = connection.facts(contexts);
    requireSafeSize(address.name, facts.size);
    this.name = address.name;
    this.size = roundUp(facts.size, SECTOR_SIZE);
    this.#connection = connection;
    this.#opened = registerExport({ address, settings, facts });
    this.descriptor = this.#opened.number;
    this.identity = exportIdentity(address);
  }

  /** What the handshake settled. */
  get facts() {
    return this.#opened.facts;
  }

  /**
   * The ranges of a meta context that was asked for.
   * @param context such as base:allocation or qemu:dirty-bitmap:NAME
   * @returns undefined if the server does not have it; otherwise answers for offsets below the export's size
   */
  status(context: string): { at(offset: number): Promise<StatusRange> } | undefined {
    if (!this.#opened.facts.contexts.includes(context)) return undefined;
    let status = this.#statuses.get(context);
    if (status === undefined) {
      const requests = { library: loadLibnbd(), request: (begin: Begin) => this.#request(begin) };
      // A range without an answer is read: it may hold data, and it may have changed.
      const unknown = context === BASE_ALLOCATION ? 0 : DIRTY;
      status = new BlockStatus(requests, context, unknown, this.#opened.facts.size);
      this.#statuses.set(context, status);
    }
    const found = status;
    return {
      at: (offset) =>
        found.at(offset).catch((error) => {
          const what = `Could not read the block status of ${quoted(this.name)} at offset ${offset}`;
          throw nbdError(what, error, { file: this.name, offset });
        }),
    };
  }

  bitmapChanges(name: string): ChangeMap {
    const context = bitmapContext(name);
    const status = this.status(context);
    if (status === undefined) {
      throw usageError(
        `Dirty bitmap ${quoted(name)} not found: the server of ${quoted(this.name)} has no meta context ` +
          `${quoted(context)}; 'qcow2c info' lists what it has`,
        { file: this.name, expected: context },
      );
    }
    const { size } = this.#opened.facts;
    return {
      changesAt: async (offset) => {
        if (offset >= size) return { length: this.size - offset, isChanged: false };
        const { length, flags } = await status.at(offset);
        return { length, isChanged: flags % 2 === DIRTY };
      },
    };
  }

  async map(offset: number): Promise<MappedRange> {
    const { size } = this.#opened.facts;
    if (offset >= size) return { kind: 'zero', length: this.size - offset };
    const status = this.status(BASE_ALLOCATION);
    const { length, flags } = (await status?.at(offset)) ?? { length: size - offset, flags: 0 };
    if ((flags & READS_AS_ZEROS) !== 0) return { kind: 'zero', length };
    return { kind: 'data', length, descriptor: this.descriptor, offset };
  }

  async read(offset: number, into: Uint8Array): Promise<number> {
    const { size, minimumBlock, maximumRequest } = this.#opened.facts;
    const found = Math.max(0, Math.min(into.length, size - offset));
    if (found === 0) return 0;
    const from = roundDown(offset, minimumBlock);
    const to = Math.min(roundUp(offset + found, minimumBlock), size);
    const memory = new Uint8Array(to - from);
    try {
      for (let done = 0; done < memory.length; done += maximumRequest) {
        const piece = memory.subarray(done, done + maximumRequest);
        await this.#request((handle) => handle.read(piece, from + done));
      }
    } catch (error) {
      throw readError(this.name, offset, error);
    }
    into.set(memory.subarray(offset - from, offset - from + found));
    return found;
  }

  fileOf(descriptor: number): string | undefined {
    return descriptor === this.descriptor ? this.name : undefined;
  }

  /** A server does not tell of changes (docs/nbd.md). */
  async refuseChanges(): Promise<void> {}

  async settle(): Promise<number> {
    return 0;
  }

  /** The server decides who may use an export. */
  async lock(): Promise<void> {}

  async close(): Promise<void> {
    forgetExport(this.#opened);
    this.#connection.close();
  }

  #request(begin: Begin): Promise<void> {
    return this.#connection.request(begin);
  }
}

/** Bit of qemu:dirty-bitmap. */
const DIRTY = 1;

function bitmapContext(name: string): string {
  return `qemu:dirty-bitmap:${name}`;
}

type Begin = (handle: NbdHandle) => number;

async function connect(
  address: NbdAddress,
  settings: NbdSettings,
  contexts: readonly string[],
): Promise<NbdConnection> {
  try {
    return await NbdConnection.open(address, settings, contexts);
  } catch (error) {
    throw connectError(address.name, error);
  }
}

function connectError(name: string, error: unknown): unknown {
  if (!(error instanceof NbdFailure)) return error;
  return nbdError(`Could not open ${quoted(name)}`, error, { file: name });
}

function requireSafeSize(name: string, size: number): void {
  if (Number.isSafeInteger(size + SECTOR_SIZE)) return;
  throw new Qcow2cError('ERR_LIMIT', `${quoted(name)} has ${size} bytes, more than any image can have`, {
    file: name,
    found: size,
  });
}
