/**
 * An NBD server in this process that breaks the protocol where a test wants it to: the fixed newstyle handshake with
 * structured replies and base:allocation, as in the NBD project's doc/proto.md.
 */
import { createServer, type Server, type Socket } from 'node:net';

export const READ = 0;
export const WRITE = 1;
export const FLUSH = 3;
export const TRIM = 4;
export const WRITE_ZEROES = 6;
export const BLOCK_STATUS = 7;

/** An option of the handshake. */
export const SET_META_CONTEXT = 10;

export interface NbdRequest {
  readonly type: number;
  readonly cookie: Buffer;
  readonly offset: number;
  readonly length: number;
  readonly socket: Socket;
  /** How many requests came before, on all connections. */
  readonly index: number;
}

export interface Script {
  /** Bytes; by connection, from 0 on. */
  readonly size?: number | bigint | ((connection: number) => number);
  readonly allowsConnections?: boolean;
  /** Closes every connection after the first at once. */
  readonly turnsAway?: boolean;
  /** Takes writes, trims, write-zeroes and flushes, and forgets what they bring. `without`: all but this request. */
  readonly isWritable?: boolean | { readonly without: number };
  /** The content; a request past its end reads zeros. Default: that of `contentAt`. */
  readonly content?: Buffer;
  /** A meta context besides base:allocation; the usual reply tells nothing of it. */
  readonly context?: string;
  /** Replaces the greeting; 'none': nothing is sent. */
  readonly greeting?: Buffer | 'none' | undefined;
  /** An option of the handshake whose reply is repeated without end. */
  readonly endlessOption?: number;
  /** @returns what to send; undefined: the usual reply */
  readonly answer?: (request: NbdRequest) => Buffer | 'nothing' | 'close' | 'reset' | undefined;
}

export interface ScriptedServer extends AsyncDisposable {
  readonly uri: string;
  /** Connections that came so far. */
  readonly connections: number;
  /** Those that neither side has closed. */
  readonly openConnections: number;
}

const CONTEXT_ID = 1;

/**
 * Serves a disk whose byte at any offset is that of `contentAt`.
 * @param socketPath undefined: a port of this machine
 */
export async function scriptedServer(
  socketPath: string | undefined,
  script: Script = {},
): Promise<ScriptedServer> {
  let connections = 0;
  let requests = 0;
  const open = new Set<Socket>();
  const server: Server = createServer((socket) => {
    const connection = connections;
    connections += 1;
    if (script.turnsAway && connection > 0) return void socket.destroy();
    open.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => open.delete(socket));
    const size = typeof script.size === 'function' ? script.size(connection) : (script.size ?? 2 ** 20);
    serve(socket, script, BigInt(size), () => requests++);
  });
  await new Promise<void>((resolve) => {
    if (socketPath === undefined) server.listen(0, '127.0.0.1', resolve);
    else server.listen(socketPath, resolve);
  });
  const address = server.address();
  return {
    uri:
      address === null || typeof address === 'string'
        ? `nbd+unix:///?socket=${socketPath}`
        : `nbd://127.0.0.1:${address.port}`,
    get connections() {
      return connections;
    },
    get openConnections() {
      return open.size;
    },
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const BLOCK = 4096;

/** A disk that is no zeros anywhere, and the same nowhere. */
export function contentAt(offset: number, length: number): Buffer {
  const first = Math.floor(offset / BLOCK);
  const blocks = Math.ceil((offset + length) / BLOCK) - first;
  const whole = Array.from({ length: blocks }, (_, index) => Buffer.alloc(BLOCK, `${first + index} `));
  return Buffer.concat(whole).subarray(offset - first * BLOCK, offset - first * BLOCK + length);
}

function u32(...values: number[]): Buffer {
  return u32List(values);
}

function u32List(values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  for (const [index, value] of values.entries()) bytes.writeUInt32BE(value >>> 0, index * 4);
  return bytes;
}

function u64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(value);
  return bytes;
}

/** A chunk of a structured reply, the last one. */
export function chunk(cookie: Buffer, type: number, payload: Buffer, isLast = true): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt32BE(0x668e33ef, 0);
  head.writeUInt16BE(isLast ? 1 : 0, 4);
  head.writeUInt16BE(type, 6);
  return Buffer.concat([head, cookie, u32(payload.length), payload]);
}

export function dataChunk({ cookie, offset }: NbdRequest, data: Buffer): Buffer {
  return chunk(cookie, 1, Buffer.concat([u64(BigInt(offset)), data]));
}

/** The reply to a request without data. */
export function doneChunk({ cookie }: Pick<NbdRequest, 'cookie'>): Buffer {
  return chunk(cookie, 0, Buffer.alloc(0));
}

export function errorChunk({ cookie }: NbdRequest, errno: number): Buffer {
  return chunk(cookie, 0x8001, Buffer.concat([u32(errno), Buffer.alloc(2)]));
}

/** @param extents pairs of length and flags */
export function statusChunk({ cookie }: NbdRequest, extents: readonly number[]): Buffer {
  return chunk(cookie, 5, Buffer.concat([u32(CONTEXT_ID), u32List(extents)]));
}

/** Sends the same bytes for as long as the client takes them. */
export function sendEndlessly(socket: Socket, bytes: Buffer): void {
  const many = Buffer.concat(Array<Buffer>(1000).fill(bytes));
  const send = () => {
    while (socket.writable && socket.write(many));
    if (socket.writable) socket.once('drain', send);
  };
  send();
}

/** The end of a reply to an option. */
const OPTION_ACK_BYTES = 20;

function serve(socket: Socket, script: Script, size: bigint, nextIndex: () => number): void {
  const { greeting } = script;
  if (greeting === 'none') return;
  socket.write(greeting ?? Buffer.concat([Buffer.from('NBDMAGICIHAVEOPT'), Buffer.from([0, 3])]));
  let input = Buffer.alloc(0);
  let phase: 'flags' | 'options' | 'requests' = 'flags';
  socket.on('data', (bytes: Buffer) => {
    input = Buffer.concat([input, bytes]);
    for (;;) {
      if (phase === 'flags') {
        if (input.length < 4) return;
        input = input.subarray(4);
        phase = 'options';
      } else if (phase === 'options') {
        if (input.length < 16 || input.length < 16 + input.readUInt32BE(12)) return;
        const option = input.readUInt32BE(8);
        const data = input.subarray(16, 16 + input.readUInt32BE(12));
        input = input.subarray(16 + data.length);
        const reply = optionReply(option, size, script);
        if (option === script.endlessOption)
          return sendEndlessly(socket, reply.subarray(0, -OPTION_ACK_BYTES));
        socket.write(reply);
        if (option === 7) phase = 'requests';
      } else {
        if (input.length < 28) return;
        const isWrite = input.readUInt16BE(6) === WRITE;
        const bytes = 28 + (isWrite ? input.readUInt32BE(24) : 0);
        if (input.length < bytes) return;
        const request: NbdRequest = {
          type: input.readUInt16BE(6),
          cookie: Buffer.from(input.subarray(8, 16)),
          offset: Number(input.readBigUInt64BE(16)),
          length: input.readUInt32BE(24),
          socket,
          index: nextIndex(),
        };
        input = input.subarray(bytes);
        if (request.type === 2) socket.end();
        else answer(request, script);
      }
    }
  });
}

function answer(request: NbdRequest, script: Script): void {
  const { socket, type, offset, length } = request;
  const given = script.answer?.(request);
  if (given === 'nothing') return;
  if (given === 'close') socket.destroy();
  else if (given === 'reset') socket.resetAndDestroy();
  else if (given !== undefined) socket.write(given);
  else if (type === READ) socket.write(dataChunk(request, contentOf(script, offset, length)));
  else if (type === BLOCK_STATUS) socket.write(statusChunk(request, [length, 0]));
  else socket.write(doneChunk(request));
}

function contentOf({ content }: Script, offset: number, length: number): Buffer {
  if (content === undefined) return contentAt(offset, length);
  const bytes = Buffer.alloc(length);
  content.copy(bytes, 0, offset, offset + length);
  return bytes;
}

/** The low byte of the transmission flags: read-only; or flush, trim and write-zeroes. */
function writeFlags(isWritable: Script['isWritable'] = false): number {
  if (isWritable === false) return 3;
  const without = isWritable === true ? undefined : isWritable.without;
  const flags = [
    [FLUSH, 4],
    [TRIM, 32],
    [WRITE_ZEROES, 64],
  ] as const;
  return flags.reduce((sum, [request, flag]) => sum + (request === without ? 0 : flag), 1);
}

function optionReply(
  option: number,
  size: bigint,
  { allowsConnections = true, isWritable, context }: Script,
): Buffer {
  const reply = (type: number, payload = Buffer.alloc(0)) =>
    Buffer.concat([Buffer.from('0003e889045565a9', 'hex'), u32(option, type, payload.length), payload]);
  const ack = reply(1);
  switch (option) {
    // NBD_OPT_STRUCTURED_REPLY
    case 8:
      return ack;
    // NBD_OPT_LIST_META_CONTEXT, NBD_OPT_SET_META_CONTEXT
    case 9:
    case SET_META_CONTEXT: {
      const names = ['base:allocation', ...(context === undefined ? [] : [context])];
      const replies = names.map((name, index) => {
        return reply(4, Buffer.concat([u32(CONTEXT_ID + index), Buffer.from(name)]));
      });
      return Buffer.concat([...replies, ack]);
    }
    // NBD_OPT_GO: NBD_INFO_EXPORT
    case 7: {
      const flags = Buffer.from([allowsConnections ? 1 : 0, writeFlags(isWritable)]);
      return Buffer.concat([reply(3, Buffer.concat([Buffer.from([0, 0]), u64(size), flags])), ack]);
    }
    // NBD_REP_ERR_UNSUP
    default:
      return reply(0x80000001);
  }
}
