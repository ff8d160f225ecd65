/** In a control group and in a container: threads follow the quota, buffers the limit, and no process is killed. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { beforeAll, describe, expect, test } from 'vitest';
import { runOk } from '../oracle/run.js';
import { sample } from '../stage.js';
import { cli, cliOk } from './cli.js';
import { hasUnifiedGroups, noControlGroups, withControlGroup, withForgedGroup } from './control-group.js';
import { expectGoodImage } from './judge.js';
import { useScratch } from './scratch.js';
import { randomBytes, textBytes } from './source-images.js';

const path = useScratch();
const MIB = 2 ** 20;
const [small, large, image, out] = [path('small'), path('large'), path('image.qcow2'), path('out.qcow2')];
const PROCESSORS = availableParallelism();

beforeAll(async () => {
  // Four work items, which cost little.
  writeFileSync(small, Buffer.alloc(8 * MIB, 'a line of text\n'));
  const piece = Buffer.concat([textBytes(MIB), randomBytes(16 * MIB)]);
  // More than a limit below: the page cache must evict what was read through it.
  writeFileSync(large, Buffer.concat(Array.from({ length: 8 }, () => piece)));
  await cliOk(['convert', '-c', '-f', 'raw', large, image]);
});

/** Throws a file out of the page cache, so that reading it is charged to the group. */
const forget = (file: string) =>
  runOk('dd', [`of=${file}`, 'oflag=nocache', 'conv=notrunc,fdatasync', 'count=0', 'status=none']);

/** Runs a conversion that reports its number of threads. @returns that number */
async function threadsOf(source: string, args: readonly string[], under: readonly string[]): Promise<number> {
  const words = ['convert', '-v', '-c', ...args, '-f', 'raw', source, out];
  const { status, signal, stderr } = await cli(words, { under });
  expect({ status, signal, stderr }).toEqual({ status: 0, signal: null, stderr: expect.anything() });
  return Number(/worker threads: (\d+)/.exec(stderr)?.[1]);
}

const reason = noControlGroups();
if (reason !== undefined) {
  test(`NOT TRIED: no control group can be made here (${reason})`, () => {
    console.warn(`No control groups (${reason}): test/system/control-groups.test.ts is the only proof.`);
  });
} else {
  describe('in a control group', () => {
    test.each([
      [0.5, 1],
      [1.5, 2],
      [64, PROCESSORS],
    ])('with %d processors there are %i threads, if the machine has as many', (processors, threads) =>
      withControlGroup({ processors }, async ({ under }) => {
        expect(await threadsOf(small, [], under)).toBe(Math.min(threads, PROCESSORS));
      }),
    );

    test('-m overrides the quota', () =>
      withControlGroup({ processors: 1 }, async ({ under }) => {
        expect(await threadsOf(small, ['-m', '3'], under)).toBe(3);
      }));

    test.each(
      sample(
        [
          [96, ['-m', '16']],
          [128, ['-m', '16', '--verify', '-t', 'writeback']],
          [128, ['-m', '16', '-o', 'compression_type=zstd,cluster_size=2M']],
        ] as const,
        1,
      ),
    )('a conversion in %i MiB with %j is done by one thread, and not killed', (mib, args) =>
      withControlGroup({ memory: mib * MIB }, async ({ under, kills, mostMemory }) => {
        await forget(large);
        expect(await threadsOf(large, args, under)).toBe(1);
        expect(kills()).toBe(0);
        expect(mostMemory()).toBeLessThanOrEqual(mib * MIB);
        await expectGoodImage(out, large);
      }),
    );

    test('in 256 MiB there are more threads, and fewer than the 16 that were asked for', () =>
      withControlGroup({ memory: 256 * MIB }, async ({ under, kills }) => {
        await forget(large);
        const threads = await threadsOf(large, ['-m', '16'], under);
        expect(threads).toBeGreaterThan(1);
        expect(threads).toBeLessThan(16);
        expect(kills()).toBe(0);
      }));

    test.each(
      sample(
        [
          ['compare', '-f', 'raw', large, image],
          ['check', '--data', image],
          ['info', '--deep', image],
          ['measure', '-c', '-f', 'raw', large],
        ],
        1,
      ),
    )('%s works in 128 MiB, for any number of threads', (command, ...args) =>
      withControlGroup({ memory: 128 * MIB }, async ({ under, kills }) => {
        await forget(large);
        const { status, signal, stderr } = await cli([command, '-m', '16', ...args], { under });
        expect({ status, signal, stderr }).toEqual({ status: 0, signal: null, stderr: '' });
        expect(kills()).toBe(0);
      }),
    );
  });

  if (!hasUnifiedGroups()) {
    test.each<[string, Record<string, string>, number]>([
      ['one processor', { 'cpu.max': '100000 100000', 'memory.max': 'max' }, 1],
      ['memory.high of 128 MiB', { 'memory.high': `${128 * MIB}`, 'memory.max': 'max' }, 1],
    ])(
      'a group of version 2 with %s counts, in a real tree with forged files',
      async (name, files, threads) => {
        mkdirSync(path(name));
        await withForgedGroup(path(name), files, async (under) => {
          expect(await threadsOf(small, [], under)).toBe(threads);
        });
      },
    );
  }

  describe('in a container, which sees its group as the root', () => {
    test('the group of the container is shown as the root', () =>
      withControlGroup({}, async ({ contained: [command, ...rest] }) => {
        const groups = await runOk(command!, [...rest, 'cat', '/proc/self/cgroup']);
        expect(groups).toMatch(/^(0:|\d+:memory):\/$/m);
        expect(groups).not.toContain('qcow2c-test');
      }));

    test('threads follow its quota', () =>
      withControlGroup({ processors: 1 }, async ({ contained }) => {
        expect(await threadsOf(small, [], contained)).toBe(1);
      }));

    test('buffers follow its limit', () =>
      withControlGroup({ memory: 128 * MIB }, async ({ contained, kills }) => {
        expect(await threadsOf(small, ['-m', '4'], contained)).toBe(1);
        expect(kills()).toBe(0);
      }));
  });
}
