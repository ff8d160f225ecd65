/**
 * Valid and invalid deflate payloads: every engine accepts exactly the payloads that QEMU accepts, with the same bytes.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Decompressor, InflatingEngine } from '../../src/engines/codec.js';
import { CorruptPayload } from '../../src/engines/corrupt-payload.js';
import { createDecompressor } from '../../src/engines/create-engine.js';
import { deflateMutant } from '../engines/deflate-mutants.js';
import { type QemuVerdict, qemuInflates } from '../oracle/qemu-inflate.js';
import { TESTS_ALL } from '../stage.js';
import { budget } from './budget.js';

const ENGINES: readonly InflatingEngine[] = ['libdeflate', 'node'];
const decompressors = new Map<InflatingEngine, Decompressor>();
beforeAll(async () => {
  for (const engine of ENGINES) decompressors.set(engine, await createDecompressor({ type: 'zlib', engine }));
});
afterAll(() => {
  for (const decompressor of decompressors.values()) decompressor.free();
});

/** An engine's result, in the oracle's terms. */
function verdictOf(decompressor: Decompressor, payload: Uint8Array, clusterSize: number) {
  const output = new Uint8Array(clusterSize);
  try {
    const taken = decompressor.decompress(payload, output);
    return { isRead: true, taken, output };
  } catch (error) {
    if (!(error instanceof CorruptPayload)) throw error;
    return { isRead: error.isReadable, taken: undefined, output };
  }
}

/** @returns a word for a difference from QEMU; undefined: no difference */
function difference(found: ReturnType<typeof verdictOf>, qemu: QemuVerdict): string | undefined {
  if (found.isRead !== qemu.isRead) return found.isRead ? 'QEMU does not read it' : 'QEMU reads it';
  if (found.taken !== qemu.taken) return `${found.taken} bytes taken instead of ${qemu.taken}`;
  return qemu.isRead && Buffer.compare(found.output, qemu.output) !== 0 ? 'other bytes' : undefined;
}

describe('payloads of bits turned over and of symbols that no compressor writes', () => {
  const COUNT = budget.isLarge ? 20 * budget.mutants : TESTS_ALL ? 4000 : 1500;

  test(`are read by every engine exactly when QEMU reads them`, { timeout: budget.timeout }, () => {
    const found: string[] = [];
    const counts = { sound: 0, odd: 0, refused: 0 };
    for (let index = 0; index < COUNT; index += 1) {
      const { payload, clusterSize } = deflateMutant(budget.seed, index);
      const qemu = qemuInflates(payload, clusterSize);
      counts[qemu.taken !== undefined ? 'sound' : qemu.isRead ? 'odd' : 'refused'] += 1;
      for (const [engine, decompressor] of decompressors) {
        const what = difference(verdictOf(decompressor, payload, clusterSize), qemu);
        if (what !== undefined) found.push(`mutant ${index}, ${engine}: ${what}`);
      }
    }
    if (budget.isLarge) console.log(counts);
    expect(found.slice(0, 20)).toEqual([]);
    // Each of the three comes often enough to be tested.
    for (const count of Object.values(counts)) expect(count).toBeGreaterThan(COUNT / 50);
  });
});
