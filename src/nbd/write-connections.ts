/**
 * The connections over which an export is written: one, and more of them when all are busy and the server allows it.
 * A further connection is used once the server has accepted it; a server may let it wait for ever (qemu-nbd -e 2).
 */
import { enlargeSendBuffer } from '../system/socket-buffer.js';
import type { NbdSettings } from './connection-options.js';
import type { ExportFacts, WriteFacts } from './export-facts.js';
import { type Libnbd, loadLibnbd } from './libnbd.js';
import { NbdConnection } from './nbd-connection.js';
import { NbdFailure } from './nbd-failure.js';
import type { NbdHandle } from './nbd-handle.js';
import type { NbdAddress } from './nbd-name.js';
import { mayBeTaken, onceNotTurnedAway } from './turned-away.js';

/** Each connection that waits takes one of the four threads of Node.js for file operations. */
const MOST_CONNECTIONS = 3;

/** Room for two writes. */
const SEND_BYTES = 2 ** 20;

export class WriteConnections {
  readonly library: Libnbd = loadLibnbd();
  readonly facts: ExportFacts;
  readonly writeFacts: WriteFacts;
  /** The first one. An export can also be read as a source over it. */
  readonly first: NbdConnection;
  readonly #address: NbdAddress;
  readonly #settings: NbdSettings;
  readonly #contexts: readonly string[];
  readonly #connections: NbdConnection[];
  readonly #closing = new AbortController();
  /** Connections that are made, or being made. */
  #wanted = 1;

  /**
   * Connects.
   * @param contexts the meta contexts to ask for
   * @throws Qcow2cError ERR_UNSUPPORTED without libnbd; NbdFailure
   */
  static async open(
    address: NbdAddress,
    settings: NbdSettings,
    contexts: readonly string[],
  ): Promise<WriteConnections> {
    const opening = { contexts, mayBeTaken: mayBeTaken(address) };
    const first = await onceNotTurnedAway(() => NbdConnection.open(address, settings, opening));
    try {
      await enlargeBuffer(address, first);
      return new WriteConnections(address, settings, contexts, first);
    } catch (error) {
      first.close();
      throw error;
    }
  }

  private constructor(
    address: NbdAddress,
    settings: NbdSettings,
    contexts: readonly string[],
    first: NbdConnection,
  ) {
    this.facts = first.facts(contexts);
    this.writeFacts = first.handle.writeFacts();
    this.#address = address;
    this.#settings = settings;
    this.#contexts = contexts;
    this.first = first;
    this.#connections = [first];
  }

  get isClosed(): boolean {
    return this.#closing.signal.aborted;
  }

  /**
   * Makes a request on the connection that has the fewest under way, and waits for its completion.
   * @param begin makes the request and returns its number
   * @throws NbdFailure
   */
  request(begin: (handle: NbdHandle) => number): Promise<void> {
    const idlest = this.#connections.reduce((best, other) => (other.load < best.load ? other : best));
    if (idlest.load > 0) void this.#addConnection();
    return idlest.request(begin);
  }

  /** Requests under way fail. */
  close(): void {
    this.#closing.abort();
    for (const connection of this.#connections) connection.close();
  }

  async #addConnection(): Promise<void> {
    if (!this.facts.allowsConnections || this.#wanted === MOST_CONNECTIONS || this.isClosed) return;
    this.#wanted += 1;
    const { signal } = this.#closing;
    let connection: NbdConnection | undefined;
    try {
      const opening = { contexts: this.#contexts, signal };
      connection = await NbdConnection.open(this.#address, this.#settings, opening);
      await enlargeBuffer(this.#address, connection);
      if (this.isClosed) connection.close();
      else this.#connections.push(connection);
      const { size } = connection.facts([]);
      if (size === this.facts.size) return;
      const failure = otherSize(this.facts.size, size);
      for (const one of this.#connections) one.close(failure);
    } catch {
      // The export is written over the others.
      connection?.close();
    }
  }
}

/** A second connection leads to an export of another size. */
function otherSize(first: number, second: number): NbdFailure {
  return new NbdFailure(
    'broken',
    `the server states ${first} bytes on one connection, and ${second} on another`,
  );
}

async function enlargeBuffer({ server }: NbdAddress, { handle }: NbdConnection): Promise<void> {
  if (server.kind === 'unix') await enlargeSendBuffer(handle.awaited.descriptor, SEND_BYTES);
}
