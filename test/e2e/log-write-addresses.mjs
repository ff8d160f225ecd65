// Loaded into qcow2c before its own modules (node --import): notes where in memory the buffers of every
// vectored write lie, which strace cannot show. Leaves one JSON line a call: offset, and for each buffer
// its address modulo 4096 and its length.
import fs, { appendFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { isMainThread } from 'node:worker_threads';
import koffi from 'koffi';

const log = process.env.QCOW2C_TEST_WRITE_LOG;
const { writev } = fs;
if (isMainThread && log !== undefined) {
  fs.writev = (descriptor, buffers, position, ...rest) => {
    const placed = buffers.map((buffer) => [Number(koffi.address(buffer) % 4096n), buffer.length]);
    appendFileSync(log, `${JSON.stringify({ offset: position, buffers: placed })}\n`);
    return writev(descriptor, buffers, position, ...rest);
  };
  syncBuiltinESMExports();
}
