/** Exports that are opened with less than usual, and those that are not opened: the message tells why. */
import { writeFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { parseNbdName } from '../../src/nbd/nbd-name.js';
import { NbdSource } from '../../src/nbd/nbd-source.js';
import { useScratch } from '../e2e/scratch.js';
import { whileNbdkit, whileQemuNbd } from '../oracle/nbd-server.js';
import { scriptedServer } from '../oracle/scripted-nbd-server.js';
import { longTest } from '../stage.js';

const path = useScratch();

beforeAll(() => writeFileSync(path('disk.raw'), Buffer.alloc(2 ** 20)));

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

describe('a second connection of this process', () => {
  const TAKEN =
    /^Could not open '.*': the server (does not answer|closed the connection) while this process has another connection to it: it seems to serve one client at a time; qemu-nbd serves N with -e N$/;

  test.each([true, false])(
    'to a qemu-nbd for one client ends (asked for lists: %s)',
    async (asksForLists) => {
      await whileQemuNbd(path('one'), ['-r', '-f', 'raw', path('disk.raw')], async ({ uri }) => {
        const first = await open(uri(), false);
        await expect(open(uri(), asksForLists, 200)).rejects.toThrow(TAKEN);
        await first.close();
        await (await open(uri(), asksForLists)).close();
      });
    },
  );

  longTest('ends before the time limit for silence, which is 60 s', async () => {
    await whileQemuNbd(path('one'), ['-r', '-f', 'raw', path('disk.raw')], async ({ uri }) => {
      const first = await open(uri(), false);
      const start = performance.now();
      await expect(open(uri(), false)).rejects.toThrow(TAKEN);
      expect(performance.now() - start).toBeLessThan(20_000);
      await first.close();
    });
  });

  test('to a server that closes it at once ends', async () => {
    const once = { allowsConnections: false, turnsAway: true };
    await using server = await scriptedServer(path('once'), once);
    const first = await open(server.uri, false);
    await expect(open(server.uri, false)).rejects.toThrow(TAKEN);
    await first.close();
  });
});

test('a server that has greeted and then is silent is not said to serve another client', async () => {
  await using server = await scriptedServer(path('half'), { greeting: Buffer.from('NBDMAGIC') });
  await expect(open(server.uri, false, 2000)).rejects.toThrow(/2 seconds \(--nbd-timeout\)$/);
});
