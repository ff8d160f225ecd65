/**
 * The process of a sweep, bundled and started by the test with failing-calls.c in front of the C library. Prints its
 * counts and findings as JSON, and a line for each path to standard error.
 */
import * as fs from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { FailingCalls } from './failing-calls.js';
import { Sweep, type SweepResult } from './sweep.js';
import { SWEPT_PATHS } from './swept-paths.js';

const [library = '', directory = '', worker = '', share = '', only = ''] = process.argv.slice(2);
const place = {
  source: (name: string) => join(directory, 'images', name),
  out: (name: string) => join(directory, 'out', name),
};
fs.mkdirSync(place.out(''), { recursive: true });

let done = false;
process.on('exit', () => {
  if (!done) fs.writeSync(2, 'nothing was left to wait for in the middle of a conversion\n');
});
const sweep = new Sweep(new FailingCalls(library, directory), place, pathToFileURL(worker));
for (const [index, path] of SWEPT_PATHS.entries()) {
  if (!path.name.includes(only)) continue;
  const { runs, errors } = sweep.counts;
  const start = performance.now();
  await sweep.sweep(path, (faults, number) => {
    if (share === 'all') return faults;
    // Threads take their time.
    const step = share === 'some' ? (path.threads ? 40 : 12) : path.threads ? 10 : 2;
    const turn = (number + index) / step;
    return Number.isInteger(turn) ? [faults[turn % faults.length]!] : [];
  });
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  fs.writeSync(
    2,
    `${path.name}: ${sweep.counts.runs - runs} runs, ${sweep.counts.errors - errors} errors, ${seconds} s\n`,
  );
}
await sweep.close();
done = true;

const { counts, findings } = sweep;
// A pipe takes 64 KiB at once; many findings are more.
process.stdout.write(JSON.stringify({ counts, findings } satisfies SweepResult));
