/** Exports that are opened with less than usual, and those that are not opened: the message tells why. */
import { writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parseNbdName } from '../../src/nbd/nbd-name.js';
import { NbdSource } from '../../src/nbd/nbd-source.js';
import { useScratch } from '../e2e/scratch.js';
import { whileNbdkit } from '../oracle/nbd-server.js';
import { scriptedServer } from '../oracle/scripted-nbd-server.js';

const path = useScratch();

const open = (uri: string, asksForLists: boolean, timeoutMs = 60_000) =>
  NbdSource.open(parseNbdName(uri), { timeoutMs, retries: 0 }, { asksForLists });

test('a server without structured replies lists its exports, and no meta contexts', async () => {
  await whileNbdkit(path('simple'), ['--no-sr', 'null', '1M'], async ({ uri }) => {
    const source = await open(uri(), true);
    await source.close();
    expect(source.description).toMatchObject({ metaContexts: [], exports: [{ name: '' }] });
  });
});

test.each([true, false])('a server that requires TLS says so (asked for lists: %s)', async (asksForLists) => {
  writeFileSync(path('keys.psk'), `me:${'00'.repeat(32)}\n`);
  const args = ['--tls=require', `--tls-psk=${path('keys.psk')}`, 'null', '1M'];
  await whileNbdkit(path('tls'), args, async ({ uri }) => {
    await expect(open(uri(), asksForLists)).rejects.toThrow(
      'server requires TLS encryption first (use nbds: or --tls-creds)',
    );
  });
});

// The last block could not be read or written: libnbd sends no request for a part of a block.
test('a size that is no multiple of the smallest block is refused', async () => {
  const args = ['--filter=blocksize-policy', 'null', '10000', 'blocksize-minimum=4096'];
  await whileNbdkit(path('blocks'), args, async ({ uri }) => {
    await expect(open(uri(), false)).rejects.toThrow(
      'its size of 10000 bytes is not a multiple of its smallest block of 4096 bytes',
    );
  });
});

test('a server that has greeted and then is silent is not said to serve another client', async () => {
  await using server = await scriptedServer(path('half'), { greeting: Buffer.from('NBDMAGIC') });
  await expect(open(server.uri, false, 200)).rejects.toThrow(/0\.2 seconds \(--nbd-timeout\)$/);
});
