/** The attempts to reconnect: each ends its connection if that does not take the place of the lost one. */
import { expect, test, vi } from 'vitest';
import { NbdConnection } from '../../src/nbd/nbd-connection.js';
import { parseNbdName } from '../../src/nbd/nbd-name.js';
import { NbdSource } from '../../src/nbd/nbd-source.js';
import { readOf } from '../../src/nbd/open-exports.js';
import { useScratch } from '../e2e/scratch.js';
import {
  errorChunk,
  READ,
  type Script,
  type ScriptedServer,
  scriptedServer,
} from '../oracle/scripted-nbd-server.js';

const path = useScratch();
const SETTINGS = { timeoutMs: 20_000, retries: 3 };

/** A source whose first read loses the connection. */
async function sourceOf(server: ScriptedServer) {
  const source = await NbdSource.open(parseNbdName(server.uri), SETTINGS);
  return { source, read: () => readOf(source.descriptor)!(0, Buffer.alloc(4096)) };
}
const losesTheFirst: Script['answer'] = ({ type, index }) =>
  type === READ && index === 0 ? 'close' : undefined;

test('an attempt at which the server does not open the export leaves no connection', async () => {
  await using server = await scriptedServer(path('refusing'), {
    // A server for one client would leave the next attempt waiting.
    size: (connection) => (connection === 1 ? 2 ** 63 : 2 ** 20),
    answer: losesTheFirst,
  });
  const { source, read } = await sourceOf(server);
  await read();
  expect([server.connections, server.openConnections]).toEqual([3, 1]);
  await source.close();
});

test('a server that answers a read with NBD_ESHUTDOWN is left, and tried again', async () => {
  const ESHUTDOWN = 108;
  await using server = await scriptedServer(path('stopping'), {
    answer: (request) =>
      request.type === READ && request.index === 0 ? errorChunk(request, ESHUTDOWN) : undefined,
  });
  const { source, read } = await sourceOf(server);
  await read();
  expect([server.connections, server.openConnections]).toEqual([2, 1]);
  await source.close();
});

test('closing the source ends an attempt that the server does not answer', async () => {
  let isSilent = false;
  await using server = await scriptedServer(path('silent'), {
    get greeting() {
      return isSilent ? 'none' : undefined;
    },
    answer: losesTheFirst,
  });
  const { source, read } = await sourceOf(server);
  isSilent = true;
  const failed = expect(read()).rejects.toMatchObject({ kind: 'lost' });
  await vi.waitUntil(() => server.connections === 2, 5000);
  await source.close();
  await failed;
  await vi.waitUntil(() => server.openConnections === 0, 1000);
});

test('an attempt that is ended while the host is looked up makes no connection', async () => {
  await using server = await scriptedServer(undefined, { greeting: 'none' });
  const address = parseNbdName(server.uri.replace('127.0.0.1', 'localhost'));
  const ending = new AbortController();
  const opening = NbdConnection.open(address, SETTINGS, { signal: ending.signal });
  ending.abort();
  await expect(opening).rejects.toMatchObject({ kind: 'closed' });
  expect(server.connections).toBe(0);
});
