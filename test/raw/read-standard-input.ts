/**
 * A program for the tests of StreamSource: it reads standard input and prints a line of JSON about it. With the
 * argument `close` it closes the source while it waits for the first bytes.
 */
import { createHash } from 'node:crypto';
import { fstatSync } from 'node:fs';
import { Qcow2cError } from '../../src/errors.js';
import { StreamSource } from '../../src/raw/stream-source.js';

const memory = new Uint8Array(new SharedArrayBuffer(1024 * 1024));
const source = StreamSource.open({ stream: 0, name: 'standard input' });

async function readWhole() {
  const hash = createHash('sha256');
  let length = 0;
  for (let count = memory.length; count === memory.length; length += count) {
    count = await source.fill(memory);
    hash.update(Buffer.from(memory.subarray(0, count)));
  }
  await source.close();
  return { total: source.total, length, sha256: hash.digest('hex') };
}

async function giveUp() {
  const filled = source.fill(memory);
  // The handler is attached before close(), in case the read ends during it.
  filled.catch(() => {});
  await new Promise(setImmediate);
  await source.close();
  return { filled: await filled };
}

const facts = await (process.argv[2] === 'close' ? giveUp() : readWhole()).catch((error: unknown) => {
  if (!(error instanceof Qcow2cError)) throw error;
  const { code, message, offset } = error;
  return { code, message, offset };
});
// Throws if the descriptor is closed.
fstatSync(0);
console.log(JSON.stringify(facts));
