/** An NBD export as a source: its map from base:allocation, and reads of its tables and clusters. */
import { roundDown, roundUp } from '../arithmetic.js';
import { Qcow2cError, quoted } from '../errors.js';
import type { MappedRange, OpenedFile } from '../image/source.js';
import { SECTOR_SIZE } from '../sector.js';
import { BASE_ALLOCATION, BlockStatus, READS_AS_ZEROS, type StatusRange } from './block-status.js';
import { loadLibnbd } from './libnbd.js';
import { NbdConnection } from './nbd-connection.js';
import { NbdFailure, nbdError, readError } from './nbd-failure.js';
import type { NbdHandle, NbdSettings } from './nbd-handle.js';
import type { NbdAddress } from './nbd-name.js';
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
   * @param contexts further meta contexts to ask for, such as qemu:dirty-bitmap:NAME; see `status`
   * @throws Qcow2cError ERR_UNSUPPORTED without libnbd; ERR_IO
   */
  static async open(
    address: NbdAddress,
    settings: NbdSettings,
    contexts: readonly string[] = [],
  ): Promise<NbdSource> {
    const wanted = [BASE_ALLOCATION, ...contexts];
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
    this.identity = `nbd ${JSON.stringify([address.server, address.exportName])}`;
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
      status = new BlockStatus(requests, context, this.#opened.facts.size);
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
