/**
 * Runs every kept input of the coverage-guided fuzzer through its target: those that cover most of the code it has
 * reached (test/fuzz/corpus), and those that were findings (test/fuzz/findings).
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { sample } from '../stage.js';
import { packInputs, unpackInputs } from './coverage/packed-inputs.js';

const here = fileURLToPath(new URL('.', import.meta.url));
const names = readdirSync(join(here, 'coverage')).flatMap(
  (file) => /^(.*)-target\.ts$/.exec(file)?.[1] ?? [],
);

async function targetOf(name: string): Promise<(input: Uint8Array) => Promise<void>> {
  const { fuzz } = await import(`./coverage/${name}-target.ts`);
  return fuzz;
}

describe.each(names)('%s', (name) => {
  test('the kept inputs break no promise', async () => {
    const fuzz = await targetOf(name);
    const inputs = unpackInputs(readFileSync(join(here, 'corpus', `${name}.txt`), 'utf8'));
    expect(inputs.length).toBeGreaterThan(10);
    for (const input of sample(inputs, 20)) await fuzz(input);
  });

  const findings = join(here, 'findings', name);
  const files = existsSync(findings) ? readdirSync(findings) : [];
  for (const file of files) {
    test(`is right now: ${file}`, async () => {
      const fuzz = await targetOf(name);
      await fuzz(readFileSync(join(findings, file)));
    });
  }
});

test('every target has kept inputs, and every finding a target', () => {
  const corpora = readdirSync(join(here, 'corpus')).map((file) => file.replace(/\.txt$/, ''));
  expect(corpora.sort()).toEqual([...names].sort());
  expect(names).toEqual(expect.arrayContaining(readdirSync(join(here, 'findings'))));
});

test('inputs come back from their text as they were', () => {
  const runs = fc.array(
    fc
      .tuple(fc.constantFrom(0, 0, 1, 255), fc.integer({ min: 1, max: 40 }))
      .map(([byte, count]) => Buffer.alloc(count, byte)),
  );
  fc.assert(
    fc.property(fc.uniqueArray(runs.map((parts) => Buffer.concat(parts).toString('hex'))), (inputs) => {
      const packed = packInputs(inputs.map((hex) => Buffer.from(hex, 'hex')));
      const back = unpackInputs(packed).map((input) => Buffer.from(input).toString('hex'));
      expect(back.sort()).toEqual([...inputs].sort());
    }),
  );
});
