/** SIGUSR1, at any moment, opens no debugger of Node.js and ends no command. */
import { dirname } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { sample } from '../stage.js';
import { cliOk, ROOT } from './cli.js';
import { HOLD, watchDebugger } from './debugger-watch.js';
import { useScratch } from './scratch.js';
import { makeMixedDisk } from './source-images.js';

const PROGRAM = `${ROOT}bin/qcow2c.js`;
/** Each run has its own port, so that no other process is in the way. */
const NODE = [process.execPath, '--inspect-port=127.0.0.1:0', '--require', HOLD];
const CLOSED = 'undefined';
const SIGNALS = 20;
const LOOKS = 2;
/** When one signal comes, in looks from the start on. */
const MOMENTS = sample(
  Array.from({ length: SIGNALS / 2 }, (_, index) => 2 * index),
  3,
);

const path = useScratch();
const raw = path('mixed.raw');
const image = path('image.qcow2');
beforeAll(async () => {
  await makeMixedDisk(raw);
  await cliOk(['convert', '-c', raw, image]);
});

test('the debugger of a process without a listener is seen', async () => {
  const { addressAtEnd, listening, status } = await watchDebugger([...NODE, '-e', ''], 1, 40);
  expect({ status, address: addressAtEnd?.slice(0, 15) }).toEqual({ status: 0, address: 'ws://127.0.0.1:' });
  expect(listening).toBeGreaterThan(0);
});

const COMMANDS: readonly (readonly string[])[] = [
  ['convert', '-c', raw, path('target.qcow2')],
  ['convert', '-O', 'raw', image, path('target.raw')],
  ['info', image],
  ['info', '--deep', image],
  ['check', '--data', image],
  ['compare', raw, image],
  ['map', raw],
  ['measure', '-c', raw],
  ['completion', 'bash'],
  ['man'],
  ['help'],
  ['--version'],
];

test.each(sample(COMMANDS, 2).map((words) => [words.join(' ').replaceAll(path(''), ''), words] as const))(
  `%s, with ${SIGNALS} signals from its start on`,
  async (_, words) => {
    const { status, signal, addressAtEnd } = await watchDebugger(
      [...NODE, PROGRAM, ...words],
      SIGNALS,
      LOOKS,
    );
    expect({ status, signal, addressAtEnd }).toEqual({ status: 0, signal: null, addressAtEnd: CLOSED });
  },
);

test('a command that fails', async () => {
  const { status, signal, addressAtEnd } = await watchDebugger([...NODE, PROGRAM, 'no'], SIGNALS, LOOKS);
  expect({ status, signal, addressAtEnd }).toEqual({ status: 1, signal: null, addressAtEnd: CLOSED });
});

test(`one signal, at each of ${MOMENTS.length} moments from the start on`, async () => {
  for (const moment of MOMENTS) {
    const { status, addressAtEnd, stdout } = await watchDebugger(
      [...NODE, PROGRAM, 'map', raw],
      1,
      1 + moment,
    );
    expect({ moment, status, addressAtEnd }).toEqual({ moment, status: 0, addressAtEnd: CLOSED });
    expect(stdout).toMatch(/^Offset/);
  }
});

describe('started by its name', () => {
  const env = {
    NODE_OPTIONS: `--require=${HOLD}`,
    PATH: `${dirname(process.execPath)}:${process.env['PATH']}`,
  };

  test(`the debugger does not open at all, at ${MOMENTS.length} moments`, async () => {
    for (const moment of MOMENTS) {
      const watched = await watchDebugger([PROGRAM, 'map', raw], 1, 1 + moment, env);
      const { status, addressAtEnd, listening, looks, stderr } = watched;
      expect({ moment, status, addressAtEnd, listening }).toEqual({
        moment,
        status: 0,
        addressAtEnd: CLOSED,
        listening: 0,
      });
      expect(stderr).not.toContain('listening');
      expect(looks).toBeGreaterThan(moment);
    }
  });

  test('arguments arrive as they are', async () => {
    const words = ["it's $HOME * b", '', 'a\\nb'];
    for (const word of words) {
      const { status, stderr } = await watchDebugger([PROGRAM, word], 0, 0, env);
      expect({ status, stderr }).toEqual({
        status: 1,
        stderr: `qcow2c: unknown command '${word}'; try 'qcow2c --help'\n`,
      });
    }
  });
});

test('a debugger that was asked for stays', async () => {
  const command = [process.execPath, '--inspect=127.0.0.1:0', '--require', HOLD, PROGRAM, 'map', raw];
  const { addressAtEnd } = await watchDebugger(command, 1, 1);
  expect(addressAtEnd).toMatch(/^ws:/);
});
