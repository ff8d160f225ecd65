// `npm run soak`: runs thousands of conversions of every kind in one process, through the built library with real
// threads, and samples the process's resources after every 50. The exit status is 1 if a resource keeps growing or a
// conversion has another result than expected. Environment variables:
// QCOW2C_SOAK_CONVERSIONS  number of conversions (2000)
// QCOW2C_SOAK_ENGINE       `node`: no worker loads a native library
// QCOW2C_SOAK_DIR          directory for the images
// QCOW2C_SOAK_LEAK         `descriptor`, `memory` or both: leaks on purpose, to show that the soak can fail
import { mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readGauges } from './gauges.js';
import { makeImages } from './images.js';
import { KINDS } from './kinds.js';
import { complaints, growth } from './trend.js';

/** @typedef {import('./trend.js').Sample} Sample */

/**
 * The most that each conversion may add: KiB, and a number of mappings. Resident memory varies by 10 MiB as V8 and the C
 * library take and return pages, so a short run proves little about it.
 */
const LONG = { resident: 10, heap: 2, external: 1, buffers: 1, mappings: 0.25 };
const SHORT = { resident: 400, heap: 20, external: 2, buffers: 2, mappings: 3 };

const { env } = process;
const CONVERSIONS = Number(env.QCOW2C_SOAK_CONVERSIONS ?? 2000);
const MOST = CONVERSIONS < 500 ? SHORT : LONG;
const engine = env.QCOW2C_SOAK_ENGINE === 'node' ? 'node' : undefined;

const say = (/** @type {string} */ line) => void process.stdout.write(`${line}\n`);
/** @type {string[]} */
const wrong = [];
let workers = 0;
process.on('worker', () => {
  workers += 1;
});

/** @type {Uint8Array[]} */
const kept = [];
function leak() {
  if (env.QCOW2C_SOAK_LEAK?.includes('descriptor')) openSync('/dev/null');
  if (env.QCOW2C_SOAK_LEAK?.includes('memory')) kept.push(Buffer.alloc(20 * 1024, 1));
}

const directory = mkdtempSync(join(env.QCOW2C_SOAK_DIR ?? tmpdir(), 'qcow2c-soak-'));
try {
  const soaking = new AbortController();
  const io = { images: makeImages(directory), directory, signal: soaking.signal, engine };
  const kinds = KINDS.filter(({ native }) => engine === undefined || !native);
  // Each kind loads its modules when it runs for the first time.
  const every = Math.min(50, Math.floor((CONVERSIONS - kinds.length) / 12));
  /** @type {Sample[]} */
  const samples = [];
  for (let done = 1; done <= CONVERSIONS; done += 1) {
    const { name, run, expected } = kinds[done % kinds.length];
    const end = await run(io).then(
      () => 'done',
      ({ code }) => code,
    );
    if (end !== expected) wrong.push(`${name}: ${end}, not ${expected}`);
    leak();
    if (done < kinds.length || done % every !== 0) continue;
    const sample = { conversions: done, workers, ...(await readGauges(soaking.signal)) };
    if (samples.length === 0) say(Object.keys(sample).join('\t'));
    samples.push(sample);
    say(Object.values(sample).join('\t'));
  }
  const grown = Object.keys(MOST).map((what) => `${what} ${growth(samples, what).toFixed(2)}`);
  say(`growth per conversion: ${grown.join(', ')}`);
  wrong.push(...complaints(samples, MOST));
  for (const line of wrong) say(`WRONG: ${line}`);
  if (wrong.length > 0) process.exitCode = 1;
} finally {
  rmSync(directory, { recursive: true, force: true });
}
