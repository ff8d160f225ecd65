// Converts with few descriptors left to the process, and with more until they are enough; run by descriptors.test.ts
// under a limit. Prints one JSON object: for each conversion how every attempt ended, and what was left of it.
import { closeSync, openSync, readdirSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { closeWorkers, convert } from '../../dist/index.js';

/** Each conversion tries every third number; those after it the numbers between. */
const STEP = 3;

const held = [];
/** Takes all descriptors but `count`. @returns how many there were to be had */
function leave(count) {
  try {
    for (;;) held.push(openSync('/dev/null', 'r'));
  } catch {
    // EMFILE: none is left.
  }
  const all = held.length;
  for (let free = 0; free < count; free += 1) closeSync(held.pop());
  return all;
}
const all = leave(1);
/** Node.js's own descriptors. The directory that lists them is open while it is read. */
const others = readdirSync('/proc/self/fd').length - 1 - held.length;

const seen = {};
for (const [number, [name, enough, options]] of JSON.parse(process.argv[2]).entries()) {
  const attempts = [];
  for (let free = number % STEP; ; free = Math.min(enough, free + STEP)) {
    leave(free);
    let most = 0;
    const onProgress = ({ guestBytesDone }) => {
      // Until the first result its thread may be loading, with some open for a moment.
      if (guestBytesDone === 0) return;
      const open = readdirSync('/proc/self/fd').length - 1;
      most = Math.max(most, open - held.length - others);
    };
    const end = await convert({ ...options, onProgress }).then(
      () => ({ code: 'done' }),
      ({ code, systemCode, message }) => ({ code, systemCode, message }),
    );
    await closeWorkers();
    const lost = all - leave(2);
    const left = readdirSync(dirname(options.target)).filter((file) => file.endsWith('.tmp'));
    attempts.push({ free, ...end, lost, left, most });
    if (end.code === 'done' || free === enough) break;
  }
  // For the next to find none.
  rmSync(options.target);
  seen[name] = attempts;
}
process.stdout.write(JSON.stringify(seen));
