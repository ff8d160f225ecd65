/** Runs the mutants of a seed in order, and collects violations. */
import { convertMutant } from './library-run.js';
import { inWords, type Mutant } from './mutant.js';
import { qemuVerdict } from './qemu-verdict.js';
import { Watchdog } from './watchdog.js';
import type { Workbench } from './workbench.js';

/** Bytes above the process's memory before the first mutant. */
const MOST_MEMORY = 256 * 1024 * 1024;

/** qemu-img refuses most mutants that are refused here. */
const REFUSALS_LESS_OFTEN = 5;

interface FuzzResult {
  readonly mutants: number;
  readonly successes: number;
  /** With qemu-img. */
  readonly compared: number;
  /** Errors by code. */
  readonly refused: ReadonlyMap<string, number>;
  /** Reasons of qemu-verdict.ts that were met, and how often. */
  readonly excused: ReadonlyMap<string, number>;
  /** A violation, with its mutant. */
  readonly findings: readonly string[];
  /** Most bytes of the process above its memory before. */
  readonly memory: number;
  /** The one that took longest. */
  readonly slowest: { readonly milliseconds: number; readonly words: string };
}

/**
 * @param count mutants, from number 0 on
 * @param compareEvery which ones are also shown to qemu-img: every n-th that is read, and fewer of the others
 * @param milliseconds after which no further one begins
 */
export async function fuzz(
  bench: Workbench,
  seed: number,
  count: number,
  { compareEvery, milliseconds }: { readonly compareEvery: number; readonly milliseconds: number },
): Promise<FuzzResult> {
  const refused = new Map<string, number>();
  const excused = new Map<string, number>();
  const findings: string[] = [];
  let slowest = { milliseconds: 0, words: '' };
  let [successes, compared, mutants, memory] = [0, 0, 0, 0];
  const memoryBefore = process.memoryUsage.rss();
  const watchdog = new Watchdog();
  const end = performance.now() + milliseconds;
  for (; mutants < count && performance.now() < end; mutants += 1) {
    const mutant = bench.mutant(seed, mutants);
    const words = `seed ${seed}, number ${mutants}: ${inWords(mutant)}`;
    await bench.inPlace(mutant, async (place) => {
      watchdog.begin(words);
      const started = performance.now();
      const { outcome, problems } = await convertMutant(mutant, place);
      const milliseconds = performance.now() - started;
      watchdog.end();
      if (milliseconds > slowest.milliseconds) slowest = { milliseconds, words };
      if (outcome.error === undefined) successes += 1;
      else countOne(refused, outcome.error.code);
      const withQemu =
        outcome.error === undefined
          ? successes % compareEvery === 0
          : (mutants - successes) % (compareEvery * REFUSALS_LESS_OFTEN) === 0;
      const verdict = withQemu ? await qemuVerdict(mutant, place, outcome) : {};
      if (withQemu) compared += 1;
      if (verdict.excuse !== undefined) countOne(excused, verdict.excuse);
      for (const what of [...problems, ...(verdict.finding === undefined ? [] : [verdict.finding])]) {
        findings.push(`${what}\n  ${words}\n  ${JSON.stringify(mutant)}`);
      }
    });
    memory = Math.max(memory, process.memoryUsage.rss() - memoryBefore);
  }
  await watchdog.close();
  if (memory > MOST_MEMORY) findings.push(`${memory} bytes of memory`);
  return { mutants, successes, compared, refused, excused, findings, memory, slowest };
}

/** Runs one kept mutant. @returns violations */
export function fuzzOne(bench: Workbench, mutant: Mutant): Promise<readonly string[]> {
  return bench.inPlace(mutant, async (place) => {
    const { outcome, problems } = await convertMutant(mutant, place);
    const { finding } = await qemuVerdict(mutant, place, outcome);
    return finding === undefined ? problems : [...problems, finding];
  });
}

function countOne(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
