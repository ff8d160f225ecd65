/** qemu-io and qemu-nbd with an image open, the way a virtual machine has it, for as long as a test wants. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, rmSync, watch } from 'node:fs';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { start } from './run.js';

/**
 * Runs `work` while qemu-io has `image` open.
 * @param options of qemu-io: -r opens it for reading only, -U bears writers
 */
export async function whileQemuIoHolds<Result>(
  image: string,
  format: 'raw' | 'qcow2',
  options: readonly string[],
  work: () => Promise<Result>,
): Promise<Result> {
  const child = spawn('qemu-io', ['-f', format, ...options, image], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = once(child, 'close');
  const early = ended.then(() => Promise.reject(new Error(`qemu-io does not open ${image}`)));
  early.catch(() => {});
  try {
    // The prompt comes when the image is open.
    await Promise.race([once(child.stdout, 'data'), early]);
    return await work();
  } finally {
    child.stdin.end();
    child.stdout.resume();
    await ended;
  }
}

/** Runs `work` while qemu-nbd serves `image`; @param options of qemu-nbd */
export async function whileQemuNbdHolds<Result>(
  image: string,
  format: 'raw' | 'qcow2',
  options: readonly string[],
  work: () => Promise<Result>,
): Promise<Result> {
  const socket = `${image}.socket`;
  const watcher = watch(dirname(socket));
  const { child, finished } = start('qemu-nbd', ['-t', '-f', format, '-k', socket, ...options, image]);
  const ended = finished.then(({ stderr }) => Promise.reject(new Error(`qemu-nbd ended: ${stderr}`)));
  ended.catch(() => {});
  try {
    while (!existsSync(socket)) await Promise.race([once(watcher, 'change'), ended]);
    await Promise.race([greeting(socket), ended]);
    return await work();
  } finally {
    watcher.close();
    child.kill();
    await finished;
    rmSync(socket, { force: true });
  }
}

/** Waits until the server greets a client: it makes its socket, listens, opens the image and greets, in this order. */
async function greeting(socket: string): Promise<void> {
  for (;;) {
    const client = connect(socket);
    try {
      await once(client, 'data');
      return;
    } catch (error) {
      // The socket is there, and the server does not listen yet.
      if ((error as NodeJS.ErrnoException).code !== 'ECONNREFUSED') throw error;
    } finally {
      client.destroy();
    }
  }
}
