/** An NBD export as a source: its map from base:allocation, and reads of its tables and clusters. */
import { roundUp } from '../arithmetic.js';
import { Qcow2cError, quoted, usageError } from '../errors.js';
import type { ChangeMap, MappedRange, OpenedFile } from '../image/source.js';
import { SECTOR_SIZE } from '../sector.js';
import { blockRead, readInRequests } from './block-reads.js';
import { BASE_ALLOCATION, BlockStatus, STATE_ZERO, type StatusRange } from './block-status.js';
import type { NbdSettings } from './connection-options.js';
import { type ExportDescription, openWithLists, type ServerLists } from './describe-export.js';
import type { ExportFile } from './export-file.js';
import { type Begin, LastingConnection } from './lasting-connection.js';
import { loadLibnbd } from './libnbd.js';
import { NbdConnection } from './nbd-connection.js';
import { NbdFailure, nbdError, readError, statusError, TOO_LARGE } from './nbd-failure.js';
import { exportIdentity, type NbdAddress } from './nbd-name.js';
import { forgetExport, type OpenExport, registerExport } from './open-exports.js';
import { mayBeTaken, onceNotTurnedAway } from './turned-away.js';

interface ExportRequest {
  /** The name of a dirty bitmap that will be read; see `NbdSource.bitmapChanges`. */
  readonly bitmap?: string | undefined;
  /** Whether to ask the server for its exports and meta contexts; see `NbdSource.description`. */
  readonly asksForLists?: boolean | undefined;
  /** An export that is written now. If it is the one to open, it is read over the connection that it has. */
  readonly written?: ExportFile | undefined;
}

export class NbdSource implements OpenedFile {
  readonly name: string;
  readonly size: number;
  readonly identity: string;
  readonly descriptor: number;
  readonly readAlignment = 1;
  readonly hasLostHoles = false;
  readonly description: ExportDescription | undefined;
  readonly #opened: OpenExport;
  readonly #connection: LastingConnection;
  /** By meta context. */
  readonly #statuses = new Map<string, ContextStatus>();

  /**
   * Connects to an export.
   * @throws Qcow2cError ERR_UNSUPPORTED without libnbd; ERR_IO
   */
  static async open(
    address: NbdAddress,
    settings: NbdSettings,
    { bitmap, asksForLists = false, written }: ExportRequest = {},
  ): Promise<NbdSource> {
    const wanted = [BASE_ALLOCATION, ...(bitmap === undefined ? [] : [bitmapContext(bitmap)])];
    if (written?.identity === exportIdentity(address)) {
      return new NbdSource(address, { ...settings, retries: 0 }, written.connection, wanted, undefined, true);
    }
    let connection: NbdConnection | undefined;
    try {
      if (!asksForLists) {
        const opening = { contexts: wanted, mayBeTaken: mayBeTaken(address) };
        connection = await onceNotTurnedAway(() => NbdConnection.open(address, settings, opening));
        return new NbdSource(address, settings, connection, wanted, undefined);
      }
      const opened = await onceNotTurnedAway(() => openWithLists(address, settings, wanted));
      connection = opened.connection;
      return new NbdSource(address, settings, connection, wanted, opened.lists);
    } catch (error) {
      connection?.close();
      throw error instanceof NbdFailure ? openError(address.name, error) : error;
    }
  }

  private constructor(
    address: NbdAddress,
    settings: NbdSettings,
    connection: NbdConnection,
    contexts: readonly string[],
    lists: ServerLists | undefined,
    isShared = false,
  ) {
    const found = connection.facts(contexts);
    // Workers then read through the main thread.
    const facts = isShared ? { ...found, allowsConnections: false } : found;
    const { minimumBlock, maximumRequest, allowsConnections, isReadOnly } = facts;
    this.description = lists && { minimumBlock, maximumRequest, allowsConnections, isReadOnly, ...lists };
    requireSafeSize(address.name, facts.size);
    this.name = address.name;
    this.size = roundUp(facts.size, SECTOR_SIZE);
    this.#opened = registerExport({ address, settings, facts }, (offset, into) =>
      this.#readBlocks(offset, into),
    );
    this.#connection = new LastingConnection(this.#opened, contexts, connection, isShared);
    this.descriptor = this.#opened.number;
    this.identity = exportIdentity(address);
  }

  /**
   * The ranges of a meta context that was asked for.
   * @param context such as base:allocation or qemu:dirty-bitmap:NAME
   * @returns undefined if the server does not have it
   */
  #status(context: string): ContextStatus | undefined {
    const known = this.#statuses.get(context);
    const { contexts, size } = this.#opened.facts;
    if (known !== undefined || !contexts.includes(context)) return known;
    const requests = { library: loadLibnbd(), request: (begin: Begin) => this.#connection.request(begin) };
    // A range without an answer is read: it may hold data, and it may have changed.
    const unknown = context === BASE_ALLOCATION ? 0 : DIRTY;
    const ranges = new BlockStatus(requests, context, unknown, size);
    const status: ContextStatus = (offset) =>
      ranges.at(offset).catch((error) => {
        throw statusError(this.name, offset, error);
      });
    this.#statuses.set(context, status);
    return status;
  }

  bitmapChanges(name: string): ChangeMap {
    const context = bitmapContext(name);
    const statusAt = this.#status(context);
    if (statusAt === undefined) {
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
        const { length, flags } = await statusAt(offset);
        return { length, isChanged: flags % 2 === DIRTY };
      },
    };
  }

  async map(offset: number): Promise<MappedRange> {
    const { size } = this.#opened.facts;
    if (offset >= size) return { kind: 'zero', length: this.size - offset };
    const statusAt = this.#status(BASE_ALLOCATION);
    const { length, flags } = (await statusAt?.(offset)) ?? { length: size - offset, flags: 0 };
    if ((flags & STATE_ZERO) !== 0) return { kind: 'zero', length };
    return { kind: 'data', length, descriptor: this.descriptor, offset };
  }

  async read(offset: number, into: Uint8Array): Promise<number> {
    const read = blockRead(this.#opened.facts, offset, into);
    if (read === undefined) return 0;
    try {
      await this.#readBlocks(read.from, read.blocks);
    } catch (error) {
      throw readError(this.name, offset, error);
    }
    return read.finish();
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

  /** Reads a range of whole blocks. @throws NbdFailure */
  #readBlocks(offset: number, into: Uint8Array): Promise<void> {
    return readInRequests(this.#opened.facts, offset, into, (piece, at) =>
      this.#connection.request((handle) => handle.read(piece, at)),
    );
  }
}

/** Bit of qemu:dirty-bitmap. */
const DIRTY = 1;

function bitmapContext(name: string): string {
  return `qemu:dirty-bitmap:${name}`;
}

/** Tells the longest known range of a meta context from an offset on, in bytes below the export's size. */
type ContextStatus = (offset: number) => Promise<StatusRange>;

function openError(name: string, error: NbdFailure): Qcow2cError {
  return nbdError(`Could not open ${quoted(name)}`, error, { file: name });
}

function requireSafeSize(name: string, size: number): void {
  if (Number.isSafeInteger(size + SECTOR_SIZE)) return;
  throw new Qcow2cError('ERR_LIMIT', `${quoted(name)} ${TOO_LARGE}`, { file: name });
}
