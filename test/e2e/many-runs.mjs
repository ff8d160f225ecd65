// Runs command lines one after the other in one process, for a test that looks at the process from outside: a file is
// looked for before each run, which shows in a trace. Arguments: a file with the command lines as JSON, a file for the
// outcomes, and two names: before each run the first file is copied to the second.
import { EventEmitter } from 'node:events';
import { copyFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { Writable } from 'node:stream';

const [lines, outcomes, original, copy] = process.argv.slice(2);
const { runCommandLine } = await createRequire(import.meta.url)('../../bin/start.js')();

class Kept extends Writable {
  text = '';
  _write(chunk, _encoding, done) {
    this.text += chunk;
    done();
  }
}

const found = [];
for (const [index, words] of JSON.parse(readFileSync(lines, 'utf8')).entries()) {
  copyFileSync(original, copy);
  existsSync(`/run ${index}/`);
  const [stdout, stderr] = [new Kept(), new Kept()];
  const events = new EventEmitter();
  await runCommandLine(words, { stdout, stderr, process: events, now: () => performance.now() });
  found.push({ status: events.exitCode, stderr: stderr.text });
}
writeFileSync(outcomes, JSON.stringify(found));
