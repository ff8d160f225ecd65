/**
 * Runs that are killed at random moments, with all their threads at work: the target's name has its old content or the
 * whole new image, and the next run removes the leftovers. A few in every run of the tests, 500 by `npm run kills`.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { Random } from '../fuzz/random.js';
import { TESTS_ALL } from '../stage.js';
import { cliOk, startCli } from './cli.js';
import { useScratch } from './scratch.js';
import { makeSparseDisk, randomBytes, textBytes } from './source-images.js';

const path = useScratch();
const { env } = process;
const KILLS = Number(env['QCOW2C_KILLS'] ?? (TESTS_ALL ? 16 : 4));
const SEED = Number(env['QCOW2C_KILLS_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
/** Of a run's duration: a kill may come when the run has ended. */
const LATEST = 1.1;
const OLD = Buffer.from('what was there before');
const MIB = 1024 * 1024;

const source = path('source.raw');
const image = path('image.qcow2');
const target = path('out', 'target');
const WAYS: Readonly<Record<string, readonly string[]>> = {
  'an image is compressed': ['-c', '-O', 'qcow2', '-m', '2', '-f', 'raw', source],
  'an image is compressed and verified': ['-c', '-O', 'qcow2', '-m', '2', '--verify', '-f', 'raw', source],
  'a compressed image becomes a plain one': ['-f', 'qcow2', '-O', 'qcow2', image],
  'a disk is unpacked': ['-f', 'qcow2', '-O', 'raw', '-m', '2', image],
};
let kills = 0;

async function makeSource(): Promise<void> {
  const parts = [0, 1, 2, 3].map(
    (part) => [part * 3 * MIB, Buffer.concat([randomBytes(700_000, part), textBytes(900_000)])] as const,
  );
  await makeSparseDisk(source, 12 * MIB, parts);
  await cliOk(['convert', '-c', '-f', 'raw', source, image]);
  mkdirSync(path('out'));
}
const made = makeSource();

test.each(Object.entries(WAYS))('when %s', async (way, words) => {
  await made;
  const convert = ['convert', ...words, target];
  const started = performance.now();
  await cliOk(convert);
  const duration = performance.now() - started;
  const whole = readFileSync(target);
  const random = new Random(SEED, Object.keys(WAYS).indexOf(way));
  for (let kill = 0; kill < KILLS / Object.keys(WAYS).length; kill += 1) {
    rmSync(target, { force: true });
    const hadOld = random.chance(0.5);
    if (hadOld) writeFileSync(target, OLD);
    const { child, finished } = startCli(convert);
    const killing = setTimeout(() => child.kill('SIGKILL'), random.below(Math.ceil(duration * LATEST)));
    const { signal, status } = await finished;
    clearTimeout(killing);
    const where = `seed ${SEED}, ${way}, kill ${kill}`;
    expect([where, signal ?? status]).toEqual([where, signal === null ? 0 : 'SIGKILL']);
    if (signal !== null) kills += 1;
    const names = readdirSync(path('out'));
    const content = names.includes('target') ? readFileSync(target) : undefined;
    const isOld = hadOld ? content?.equals(OLD) === true : content === undefined;
    const isNew = content?.equals(whole) === true;
    expect([where, isNew || (signal !== null && isOld)]).toEqual([where, true]);
    const others = names.filter((name) => name !== basename(target));
    expect([where, others]).toEqual([where, others.length === 0 ? [] : ['.target.qcow2c.tmp']]);
  }
  await cliOk(convert);
  expect(readFileSync(target).equals(whole)).toBe(true);
  expect(readdirSync(path('out'))).toEqual(['target']);
});

afterAll(() => {
  // Most moments are before the end.
  expect(kills).toBeGreaterThan(KILLS / 2);
  if (env['QCOW2C_KILLS'] !== undefined) console.log(`seed ${SEED}: ${kills} runs were killed`);
});
