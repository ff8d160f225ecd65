/** Waits for a socket with poll(2), on another thread. */
import { endianness } from 'node:os';
import { type AsyncSystemCall, bindAsyncCall, bindCall, type SystemCall } from './libc.js';

const POLLIN = 0x001;
const POLLOUT = 0x004;
const POLLERR = 0x008;
const POLLHUP = 0x010;
const POLLNVAL = 0x020;
const isLittle = endianness() === 'LE';

interface SocketEvents {
  readonly readable: boolean;
  readonly writable: boolean;
}

let calls: { readonly now: SystemCall; readonly later: AsyncSystemCall } | undefined;

/**
 * @param wanted the events to wait for
 * @param milliseconds the longest wait
 * @returns the events that occurred; none after the longest wait. An error or the end of the stream counts as readable
 * @throws Error with the system's `errno`
 */
export async function waitForSocket(
  descriptor: number,
  wanted: { readonly read: boolean; readonly write: boolean },
  milliseconds: number,
): Promise<SocketEvents> {
  calls ??= await bindPoll();
  // struct pollfd: descriptor (32 bits), events and returned events (16 bits each).
  const entry = new DataView(new ArrayBuffer(8));
  entry.setInt32(0, descriptor, isLittle);
  entry.setInt16(4, (wanted.read ? POLLIN : 0) | (wanted.write ? POLLOUT : 0), isLittle);
  const memory = new Uint8Array(entry.buffer);
  // Usually an event has occurred already, and another thread would cost more than the call.
  if (calls.now(memory, 1, 0) === 0) await calls.later(memory, 1, milliseconds);
  const events = entry.getInt16(6, isLittle);
  return {
    readable: (events & (POLLIN | POLLERR | POLLHUP | POLLNVAL)) !== 0,
    writable: (events & POLLOUT) !== 0,
  };
}

async function bindPoll() {
  const signature = ['poll', 'int', ['void *', 'ulong', 'int']] as const;
  const now = await bindCall(signature[0], signature[1], [...signature[2]]);
  const later = await bindAsyncCall(signature[0], signature[1], [...signature[2]]);
  if (now === undefined || later === undefined) throw new Error('the C library has no poll');
  return { now, later };
}
