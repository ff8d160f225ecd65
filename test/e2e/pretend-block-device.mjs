// Loaded into qcow2c before its own modules (node --import): makes the file named in the environment look
// like a block device to stat calls, with the size of 0 that block devices have. So the way a device's
// size is found is tested on machines without loop devices too.
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

const pretended = process.env.QCOW2C_TEST_BLOCK_DEVICE;

function disguise(stats) {
  if (stats === undefined || Number(stats.ino) !== Number(pretended)) return stats;
  const bits = typeof stats.mode === 'bigint' ? BigInt : Number;
  stats.mode = (stats.mode & ~bits(fs.constants.S_IFMT)) | bits(fs.constants.S_IFBLK);
  stats.size = bits(0);
  return stats;
}

const disguised =
  (call) =>
  (...args) => {
    const done = args.at(-1);
    if (typeof done !== 'function') return disguise(call(...args));
    return call(...args.slice(0, -1), (error, stats) => done(error, disguise(stats)));
  };
for (const name of ['stat', 'lstat', 'fstat', 'statSync', 'lstatSync', 'fstatSync'])
  fs[name] = disguised(fs[name]);
for (const name of ['stat', 'lstat']) {
  const call = fs.promises[name];
  fs.promises[name] = async (...args) => disguise(await call(...args));
}
syncBuiltinESMExports();
