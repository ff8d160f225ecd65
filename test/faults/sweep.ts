/**
 * The sweep: fails the first, the second and every further system call of each kind in each way, one conversion each,
 * and judges the result.
 */
import * as fs from 'node:fs';
import { convertWith } from '../../src/convert/convert.js';
import type { ConvertOptions } from '../../src/convert/options.js';
import { openTarget } from '../../src/storage/open-target.js';
import { Watchdog } from '../fuzz/watchdog.js';
import { budget } from './either-pool.js';
import {
  type FailedCall,
  type FailingCalls,
  type Fault,
  OPERATIONS,
  type PlannedFault,
} from './failing-calls.js';
import { FAULTS } from './fault-kinds.js';
import { directoryContent, judge, type Outcome } from './judge.js';
import { type Place, prepareTarget, type SweptPath } from './swept-paths.js';

/** A run whose outcome is wrong. */
interface Finding {
  readonly path: string;
  readonly planned: PlannedFault;
  readonly failed: FailedCall | undefined;
  readonly problems: readonly string[];
}

interface SweepCounts {
  runs: number;
  /** Calls that were made to fail; the others could not be cut any shorter. */
  failedCalls: number;
  /** Runs that ended with an error. */
  errors: number;
}

export interface SweepResult {
  readonly counts: SweepCounts;
  readonly findings: readonly Finding[];
}

export class Sweep implements SweepResult {
  readonly findings: Finding[] = [];
  readonly counts: SweepCounts = { runs: 0, failedCalls: 0, errors: 0 };
  readonly #calls: FailingCalls;
  readonly #place: Place;
  readonly #workerEntry: URL;
  readonly #watchdog = new Watchdog();
  /** Errors that no code handled. */
  readonly #stray: string[] = [];

  constructor(calls: FailingCalls, place: Place, workerEntry: URL) {
    this.#calls = calls;
    this.#place = place;
    this.#workerEntry = workerEntry;
    process.on('unhandledRejection', (reason) => this.#stray.push(`an unhandled rejection: ${reason}`));
    process.on('uncaughtException', (error) => this.#stray.push(`an uncaught exception: ${error}`));
    process.on('warning', (warning) => this.#stray.push(`a warning: ${warning}`));
  }

  /**
   * All calls of one path.
   * @param choose of the faults of the call of this number, those that are to be tried
   */
  async sweep(path: SweptPath, choose: (faults: readonly Fault[], number: number) => readonly Fault[]) {
    budget.threads = path.threads ?? false;
    // Engines and threads are there from the first run on.
    await this.#run(path, undefined);
    const { outcome: undisturbed } = await this.#run(path, undefined);
    if ((undisturbed.error !== undefined) !== (path.refused ?? false)) throw undisturbed.error;
    const numbers = new Map(OPERATIONS.map((operation) => [operation, this.#calls.count(operation)]));
    prepareTarget(path, this.#place);
    const before = directoryContent(this.#place);
    for (const [operation, expected] of numbers) {
      for (let number = 1, last = expected; number <= last; number += 1) {
        for (const fault of choose(FAULTS[operation], number)) {
          // A pipe whose writer is silent is waited for.
          if (path.stream === 'pipe' && fault.error === 'EAGAIN' && fault.forEver) continue;
          const planned = { operation, number, fault };
          const resources = heldResources();
          this.#watchdog.begin(`${path.name}: ${JSON.stringify(planned)}`);
          const { outcome, failed } = await this.#run(path, planned);
          this.#watchdog.end();
          // Threads do not always make the same calls; a retried call is not another call.
          if (failed === undefined) last = Math.max(last, this.#calls.count(operation));
          const case_ = { path, planned, failed, outcome, undisturbed, before, place: this.#place };
          const problems = [...judge(case_), ...this.#stray.splice(0)];
          problems.push(...newlyHeld(resources));
          if (problems.length > 0) this.findings.push({ path: path.name, planned, failed, problems });
          this.counts.runs += 1;
          if (failed !== undefined) this.counts.failedCalls += 1;
          if (outcome.error !== undefined) this.counts.errors += 1;
        }
      }
    }
  }

  async close(): Promise<void> {
    await this.#watchdog.close();
  }

  async #run(path: SweptPath, planned: PlannedFault | undefined) {
    prepareTarget(path, this.#place);
    const options = path.options(this.#place);
    let error: unknown;
    this.#calls.arm(planned);
    try {
      await convertWith(options, { workerEntry: this.#workerEntry, openTarget });
    } catch (reason) {
      error = reason;
      // A stream's descriptor stays the caller's if it could not be examined.
      if (planned?.operation === 'stat') closeStream(options, path, this.#place);
    }
    // Promises that should be awaited, and are not, are reported now.
    await new Promise((resolve) => setImmediate(resolve));
    const failed = this.#calls.disarm();
    const outcome: Outcome = { error, files: directoryContent(this.#place) };
    return { outcome, failed };
  }
}

function closeStream({ sources: [source] }: ConvertOptions, path: SweptPath, place: Place): void {
  if (path.stream === undefined) return;
  const { stream } = source as { readonly stream: number };
  const entry = `/proc/self/fd/${stream}`;
  if (fs.existsSync(entry) && fs.readlinkSync(entry) === place.source(path.stream)) fs.closeSync(stream);
}

/** The files that are open, and the threads. */
function heldResources(): string[] {
  const names = fs.readdirSync('/proc/self/fd').map((descriptor) => {
    try {
      return fs.readlinkSync(`/proc/self/fd/${descriptor}`);
    } catch {
      // It was open for reading the directory.
      return '';
    }
  });
  return [...names.filter((name) => name !== ''), ...fs.readdirSync('/proc/self/task').map(() => 'a thread')];
}

/** @returns differences between two states */
function newlyHeld(before: readonly string[]): string[] {
  const now = heldResources();
  const more = without(now, before).map((name) => `still open: ${name}`);
  return [...more, ...without(before, now).map((name) => `closed, and not its own: ${name}`)];
}

function without(all: readonly string[], some: readonly string[]): string[] {
  const rest = [...all];
  for (const name of some) if (rest.includes(name)) rest.splice(rest.indexOf(name), 1);
  return rest;
}
