/** The lists that a server gives before an export is chosen. */
import { expect, test } from 'vitest';
import { parseNbdName } from '../../src/nbd/nbd-name.js';
import { NbdSource } from '../../src/nbd/nbd-source.js';
import { scriptedServer } from '../oracle/scripted-nbd-server.js';

test('each of two servers that are asked at the same time has its own list', async () => {
  const describe = async (context: string) => {
    await using server = await scriptedServer(undefined, { context });
    const settings = { timeoutMs: 60_000, retries: 0 };
    const source = await NbdSource.open(parseNbdName(server.uri), settings, { asksForLists: true });
    await source.close();
    return source.description?.metaContexts;
  };
  const contexts = ['qemu:dirty-bitmap:one', 'qemu:dirty-bitmap:other'];
  const expected = contexts.map((context) => ['base:allocation', context]);
  expect(await Promise.all(contexts.map(describe))).toEqual(expected);
});
