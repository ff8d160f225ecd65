/** Real NBD servers on a Unix socket: qemu-nbd and nbdkit, for as long as a test wants. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { connect } from 'node:net';
import { setTimeout as later } from 'node:timers/promises';
import { start } from './run.js';

export interface NbdServer {
  readonly child: ChildProcess;
  readonly socket: string;
  /** @param exportName default: the server's default export */
  uri(exportName?: string): string;
}

/** @param args of qemu-nbd besides the socket: -r -e 4 -f raw FILE */
export function whileQemuNbd<Result>(
  socket: string,
  args: readonly string[],
  work: (server: NbdServer) => Promise<Result>,
): Promise<Result> {
  return whileServing(socket, 'qemu-nbd', ['-t', '-k', socket, ...args], work);
}

/** @param args of nbdkit besides the socket: its filters, plugin and their parameters */
export function whileNbdkit<Result>(
  socket: string,
  args: readonly string[],
  work: (server: NbdServer) => Promise<Result>,
): Promise<Result> {
  return whileServing(socket, 'nbdkit', ['-f', '-U', socket, ...args], work);
}

/** qemu-storage-daemon, which exports FILE, a raw disk, as `disk`. */
export function whileStorageDaemon<Result>(
  socket: string,
  file: string,
  work: (server: NbdServer) => Promise<Result>,
): Promise<Result> {
  const args = [
    ...['--blockdev', `driver=file,node-name=file,filename=${file}`],
    ...['--nbd-server', `addr.type=unix,addr.path=${socket},max-connections=8`],
    ...['--export', 'type=nbd,id=disk,node-name=file,name=disk,writable=on'],
  ];
  return whileServing(socket, 'qemu-storage-daemon', args, work);
}

/** The same on a port of this machine. */
export async function whileNbdkitOnPort<Result>(
  port: number,
  args: readonly string[],
  work: () => Promise<Result>,
): Promise<Result> {
  return whileServing({ port }, 'nbdkit', ['-f', '-p', String(port), ...args], work);
}

/** Runs a server until `work` is done; fails when it ends earlier, unless the work ended it. */
async function whileServing<Result>(
  place: string | { readonly port: number },
  program: string,
  args: readonly string[],
  work: (server: NbdServer) => Promise<Result>,
): Promise<Result> {
  const { child, finished } = start(program, args);
  let isServing = false;
  const early = finished.then(({ stderr }) => {
    if (!isServing) throw new Error(`${program} ended: ${stderr}`);
  });
  early.catch(() => {});
  try {
    await Promise.race([greeting(place), early]);
    isServing = true;
    const socket = typeof place === 'string' ? place : '';
    return await work({ child, socket, uri: (name = '') => `nbd+unix:///${name}?socket=${socket}` });
  } finally {
    child.kill('SIGKILL');
    await finished;
    if (typeof place === 'string') rmSync(place, { force: true });
  }
}

/** Waits until the server greets a client. */
async function greeting(place: string | { readonly port: number }): Promise<void> {
  for (;;) {
    const client = typeof place === 'string' ? connect(place) : connect(place.port, 'localhost');
    try {
      await once(client, 'data');
      return;
    } catch (error) {
      const { code = '' } = error as NodeJS.ErrnoException;
      if (!['ECONNREFUSED', 'ENOENT'].includes(code)) throw error;
      await later(5);
    } finally {
      client.destroy();
    }
  }
}
