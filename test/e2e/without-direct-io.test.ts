/** File systems that refuse O_DIRECT, and writes that have to be tried again. */
import { writeFile } from 'node:fs/promises';
import { beforeAll, expect, test } from 'vitest';
import { cli, injecting, ONE_THREAD } from './cli.js';
import { expectGoodImage } from './judge.js';
import { useScratch } from './scratch.js';
import { patchworkBytes, textBytes } from './source-images.js';

const path = useScratch();
const raw = path('disk.raw');
const image = path('image.qcow2');
// One work item, which needs no thread.
beforeAll(() => writeFile(raw, Buffer.concat([textBytes(500_000), patchworkBytes(1_000_000)])));

// The first write has several host clusters and is a pwritev, the last one is a pwrite64. Faults are counted for each
// system call.
const convert = (call: string, fault: string) =>
  cli(['convert', '-c', '-v', raw, image], { under: injecting(call, fault), env: ONE_THREAD });

test('when the first direct write is refused the page cache is used, and -v reports it', async () => {
  const { status, stderr } = await convert('pwritev', 'error=EINVAL:when=1');
  expect({ status, stderr }).toMatchObject({
    status: 0,
    stderr: expect.stringMatching(/writeback.*O_DIRECT/),
  });
  await expectGoodImage(image, raw);
});

test('a refusal after direct writes have worked is an error, not a reason to change the way of writing', async () => {
  const { status, stderr } = await convert('pwrite64', 'error=EINVAL:when=1');
  expect({ status, stderr }).toMatchObject({
    status: 1,
    stderr: expect.stringMatching(/Invalid argument\n$/i),
  });
});

// libuv itself makes those again that end with EINTR.
test('writes that end with EAGAIN are made again', async () => {
  const { status, stderr } = await convert('pwrite64', 'error=EAGAIN:when=1+2');
  expect({ status, stderr }).toMatchObject({
    status: 0,
    stderr: expect.stringMatching(/cache mode: none\n/),
  });
  await expectGoodImage(image, raw);
});
