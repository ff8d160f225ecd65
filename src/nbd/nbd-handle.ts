/**
 * One connection to an NBD server through libnbd. No call here waits, except `poll`: nbd-connection.ts waits for the main
 * thread, export-reader.ts for workers. One thread at a time may use a handle.
 */
import { quoted, usageError } from '../errors.js';
import { type Callback, NO_CALLBACK } from './callbacks.js';
import type { NbdSettings } from './connection-options.js';
import type { ExportFacts, WriteFacts } from './export-facts.js';
import { type CallName, type HandleAddress, type Libnbd, loadLibnbd } from './libnbd.js';
import { closedHere, failureOf, NbdFailure } from './nbd-failure.js';
import type { NbdAddress } from './nbd-name.js';

/** The calls that ask a server for its exports, or for the meta contexts of the chosen one. */
export type ListCall = 'nbd_aio_opt_list' | 'nbd_aio_opt_list_meta_context';

/** LIBNBD_CMD_FLAG_FUA and LIBNBD_CMD_FLAG_FAST_ZERO. */
const FLAG_FORCE = 1;
const FLAG_FAST = 16;

/** LIBNBD_TLS_REQUIRE and the sizes of nbd_get_block_size. */
const TLS_REQUIRE = 2;
const SIZE_MINIMUM = 0;
const SIZE_MAXIMUM = 2;

/** The longest request where the server states no limit: what every server takes (the protocol's advice). */
const USUAL_MAXIMUM = 32 * 1024 * 1024;
/** The largest minimum that the protocol allows. */
const LARGEST_MINIMUM = 65_536;

/** Milliseconds that a connection which is no longer needed waits for its last answers. */
const GOODBYE_PATIENCE = 250;

export class NbdHandle {
  readonly library: Libnbd;
  readonly #exportName: string;
  #address: HandleAddress | undefined;

  /**
   * @param contexts the meta contexts to ask for
   * @param optionMode stop before the export is chosen, to ask the server about its exports
   * @throws Qcow2cError ERR_UNSUPPORTED without libnbd, ERR_USAGE for TLS without credentials; NbdFailure
   */
  constructor(
    { name, exportName, server, tls, user }: NbdAddress,
    { tlsCreds }: NbdSettings,
    contexts: readonly string[] = [],
    optionMode = false,
  ) {
    this.library = loadLibnbd();
    this.#exportName = exportName;
    // libnbd would encrypt without checking the server.
    if (tls && tlsCreds === undefined) {
      throw usageError(`${quoted(name)} needs --tls-creds DIR, a directory with ca-cert.pem or keys.psk`, {
        file: name,
      });
    }
    this.#address = this.library.create();
    try {
      this.#do('nbd_set_export_name', exportName);
      for (const context of contexts) this.#do('nbd_add_meta_context', context);
      // Bytes of a failed read are not used.
      if (this.library.has('nbd_set_pread_initialize')) this.#do('nbd_set_pread_initialize', false);
      if (optionMode) this.#do('nbd_set_opt_mode', true);
      if (tls || tlsCreds !== undefined) {
        this.#do('nbd_set_tls', TLS_REQUIRE);
        const keyOwner = user ?? (tlsCreds?.kind === 'psk' ? tlsCreds.user : undefined);
        if (keyOwner !== undefined) this.#do('nbd_set_tls_username', keyOwner);
        if (tlsCreds?.kind === 'certificates') this.#do('nbd_set_tls_certificates', tlsCreds.directory);
        if (tlsCreds?.kind === 'psk') this.#do('nbd_set_tls_psk_file', tlsCreds.file);
      }
      // Starts the connection; `isConnecting` tells when it is made.
      if (server.kind === 'unix') this.#do('nbd_aio_connect_unix', server.path);
      else this.#do('nbd_aio_connect_tcp', server.host, server.port);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  get isConnecting(): boolean {
    return this.#is('nbd_aio_is_connecting');
  }

  /** Whether options can be negotiated, in option mode. */
  get isNegotiating(): boolean {
    return this.#is('nbd_aio_is_negotiating');
  }

  /** Whether requests can be made. */
  get isUsable(): boolean {
    return this.#is('nbd_aio_is_ready') || this.#is('nbd_aio_is_processing');
  }

  /** The socket to wait for, and what to wait for. @throws NbdFailure when the connection is gone */
  get awaited(): { readonly descriptor: number; readonly read: boolean; readonly write: boolean } {
    const direction = Number(this.#call('nbd_aio_get_direction'));
    if (direction === 0) throw this.#failure();
    return {
      descriptor: this.#do('nbd_aio_get_fd'),
      read: (direction & 1) !== 0,
      write: (direction & 2) !== 0,
    };
  }

  /** Goes on after the socket became readable, or writable. @throws NbdFailure */
  notify(is: 'readable' | 'writable'): void {
    this.#do(is === 'readable' ? 'nbd_aio_notify_read' : 'nbd_aio_notify_write');
  }

  /**
   * Waits for the server and goes on, for a thread that may block.
   * @returns whether something happened in time
   * @throws NbdFailure
   */
  poll(milliseconds: number): boolean {
    return this.#do('nbd_poll', milliseconds) !== 0;
  }

  /**
   * @returns the facts of the connected export
   * @throws NbdFailure
   */
  facts(contexts: readonly string[]): ExportFacts {
    this.#refuseUnheardName();
    const minimum = this.#do('nbd_get_block_size', SIZE_MINIMUM);
    const maximum = this.#do('nbd_get_block_size', SIZE_MAXIMUM);
    const minimumBlock = Math.min(LARGEST_MINIMUM, Math.max(1, minimum));
    const most = Math.min(USUAL_MAXIMUM, maximum === 0 ? USUAL_MAXIMUM : maximum);
    const size = this.#size();
    if (size % minimumBlock !== 0) {
      const words = `its size of ${size} bytes is not a multiple of its smallest block of ${minimumBlock} bytes`;
      throw new NbdFailure('broken', words);
    }
    return {
      size,
      minimumBlock,
      maximumRequest: Math.max(minimumBlock, most - (most % minimumBlock)),
      allowsConnections: this.#do('nbd_can_multi_conn') === 1,
      isReadOnly: this.#do('nbd_is_read_only') === 1,
      contexts: contexts.filter((context) => this.#do('nbd_can_meta_context', context) === 1),
    };
  }

  /**
   * Requests bytes. `into` must stay as it is until the request is completed or the handle is closed.
   * @returns the number of the request
   * @throws NbdFailure
   */
  read(into: Uint8Array, offset: number): number {
    return this.#do('nbd_aio_pread', into, into.length, offset, NO_CALLBACK, 0);
  }

  /** @returns what the connected export takes @throws NbdFailure */
  writeFacts(): WriteFacts {
    return {
      canFlush: this.#do('nbd_can_flush') === 1,
      canForce: this.#do('nbd_can_fua') === 1,
      canZero: this.#do('nbd_can_zero') === 1,
      canZeroFast: this.#do('nbd_can_fast_zero') === 1,
      canTrim: this.#do('nbd_can_trim') === 1,
    };
  }

  /**
   * Writes bytes, which must stay as they are until the request is completed or the handle is closed.
   * @param isForced answer when they are durable
   * @returns the number of the request
   * @throws NbdFailure
   */
  write(bytes: Uint8Array, offset: number, isForced: boolean): number {
    return this.#do('nbd_aio_pwrite', bytes, bytes.length, offset, NO_CALLBACK, isForced ? FLAG_FORCE : 0);
  }

  /**
   * Makes a range read as zeros; the server may make a hole of it.
   * @param isFast refuse the request if it would take as long as writing zeros
   * @returns the number of the request
   * @throws NbdFailure
   */
  zero(offset: number, length: number, isForced: boolean, isFast: boolean): number {
    const flags = (isForced ? FLAG_FORCE : 0) | (isFast ? FLAG_FAST : 0);
    return this.#do('nbd_aio_zero', length, offset, NO_CALLBACK, flags);
  }

  /** Gives up a range, whose content is then anything. @returns the number of the request @throws NbdFailure */
  trim(offset: number, length: number): number {
    return this.#do('nbd_aio_trim', length, offset, NO_CALLBACK, 0);
  }

  /** Makes every completed write durable. @returns the number of the request @throws NbdFailure */
  flush(): number {
    return this.#do('nbd_aio_flush', NO_CALLBACK, 0);
  }

  /** Requests the status of a range. @returns the number of the request @throws NbdFailure */
  blockStatus(length: number, offset: number, extents: Callback, is64: boolean): number {
    const call = is64 ? 'nbd_aio_block_status_64' : 'nbd_aio_block_status';
    return this.#do(call, length, offset, extents, NO_CALLBACK, 0);
  }

  /** @returns whether a request is completed @throws NbdFailure if it failed */
  isCompleted(request: number): boolean {
    return this.#do('nbd_aio_command_completed', request) === 1;
  }

  /** Asks the server for a list, in option mode. @param names of `Libnbd.onNames` @throws NbdFailure */
  list(call: ListCall, names: Callback): void {
    this.#do(call, names, NO_CALLBACK);
  }

  /** Chooses the export, in option mode. @param contexts the meta contexts to ask for @throws NbdFailure */
  go(contexts: readonly string[]): void {
    for (const context of contexts) this.#do('nbd_add_meta_context', context);
    this.#do('nbd_aio_opt_go', NO_CALLBACK);
  }

  /** Waits for the last answers for a moment, says goodbye if all are there, and frees the handle. */
  close(): void {
    const address = this.#address;
    if (address === undefined) return;
    if (this.#lastAnswers()) this.#call('nbd_aio_disconnect', 0);
    this.#address = undefined;
    this.library.close(address);
  }

  /**
   * Receives the answers to the requests under way. The protocol lets a client disconnect after them only, and nbdkit
   * before 1.34 aborts when one leaves earlier.
   * @returns whether the connection is idle now
   */
  #lastAnswers(): boolean {
    const end = performance.now() + GOODBYE_PATIENCE;
    while (Number(this.#call('nbd_aio_in_flight')) > 0) {
      const left = Math.ceil(end - performance.now());
      if (left <= 0 || Number(this.#call('nbd_poll', left)) < 0) return false;
    }
    return this.#is('nbd_aio_is_ready');
  }

  /** libnbd opens the only export of a server with the old handshake, whatever its name is to be. @throws NbdFailure */
  #refuseUnheardName(): void {
    if (this.#address === undefined || this.#exportName === '') return;
    if (this.library.protocol(this.#address) !== 'oldstyle') return;
    const words = `the server takes no names of exports (old handshake), and ${quoted(this.#exportName)} is asked for`;
    throw new NbdFailure('broken', words);
  }

  /** @throws NbdFailure also for a size that libnbd returns as a negative number, without an error */
  #size(): number {
    const size = Number(this.#call('nbd_get_size'));
    if (size >= 0) return size;
    // A connected handle has no other error here, and the thread's last error may be that of an older call.
    if (this.isUsable) throw new NbdFailure('broken', 'the server states a size of 2 ** 63 bytes or more');
    throw this.#failure();
  }

  /** Makes a call. @returns its result, a safe number @throws NbdFailure if it returns -1 */
  #do(name: CallName, ...values: readonly unknown[]): number {
    const result = Number(this.#call(name, ...values));
    if (result < 0) throw this.#failure();
    return result;
  }

  #call(name: CallName, ...values: readonly unknown[]): number | bigint {
    if (this.#address === undefined) return -1;
    return this.library.call(name)(this.#address, ...values);
  }

  #is(name: CallName): boolean {
    return Number(this.#call(name)) === 1;
  }

  #failure(): NbdFailure {
    if (this.#address === undefined) return closedHere();
    // Before the next call, which may replace it.
    const error = this.library.error();
    return failureOf(error, this.isConnecting || this.isNegotiating || this.isUsable);
  }
}
