/** Enlarges the send buffer of a Unix socket, so that a writer waits for its reader less often. */
import { bindCall, type SystemCall } from './libc.js';

/** SOL_SOCKET, SO_SNDBUF and SO_SNDBUFFORCE (which only root may use) of Linux. */
const SOL_SOCKET = 1;
const SO_SNDBUF = 7;
const SO_SNDBUFFORCE = 32;

let call: SystemCall | undefined;

/**
 * Linux only. Without privileges the size is limited to net.core.wmem_max. Errors are ignored.
 * @param descriptor of a Unix socket; TCP sockets adapt their buffers themselves
 * @param bytes of the buffer
 */
export async function enlargeSendBuffer(descriptor: number, bytes: number): Promise<void> {
  if (process.platform !== 'linux') return;
  call ??= await bindCall('setsockopt', 'int', ['int', 'int', 'int', 'void *', 'uint']);
  const value = new Uint8Array(Int32Array.of(bytes).buffer);
  for (const option of [SO_SNDBUFFORCE, SO_SNDBUF]) {
    if (call?.(descriptor, SOL_SOCKET, option, value, value.length) === 0) return;
  }
}
