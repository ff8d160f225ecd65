// A program that uses the library as its users do; run by library.test.ts in a directory where qcow2c is
// installed. Prints one JSON object and nothing else: what it saw.
import { readdirSync, readlinkSync } from 'node:fs';
import { convert, Qcow2cError } from 'qcow2c';

const [source, directory] = process.argv.slice(2);

function openFiles() {
  return readdirSync('/proc/self/fd').flatMap((number) => {
    try {
      return [readlinkSync(`/proc/self/fd/${number}`)];
    } catch {
      return [];
    }
  });
}
const ours = (files) => files.filter((file) => file.startsWith(directory) || file === source).sort();
const signals = () =>
  ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGXFSZ'].flatMap((name) => process.listeners(name)).length;

async function outcome(promise) {
  try {
    return { result: await promise };
  } catch (error) {
    const { name, code, message, file, systemCode } = error;
    return { error: { name, code, message, file, systemCode, typed: error instanceof Qcow2cError } };
  }
}

const sources = [source];
const target = (name) => `${directory}/${name}`;
const seen = {};

const several = [
  { compress: true },
  { compress: true, create: { compressionType: 'zstd' } },
  { compress: true, create: { clusterSize: 4096 }, threads: 1 },
  {},
].map((options, index) =>
  outcome(convert({ sources, target: target(`several-${index}.qcow2`), ...options })),
);
seen.signalListeners = signals();
seen.several = await Promise.all(several);

const progress = [];
const onProgress = (step) => progress.push(step);
await convert({ sources, target: target('progress.qcow2'), compress: true, onProgress });
seen.progress = progress;

const before = AbortSignal.abort();
seen.abortedBefore = await outcome(
  convert({ sources, target: target('before.qcow2'), compress: true, signal: before }),
);

const during = new AbortController();
seen.abortedDuring = await outcome(
  convert({
    sources,
    target: target('during.qcow2'),
    compress: true,
    signal: during.signal,
    onProgress: ({ guestBytesDone }) => guestBytesDone > 0 && during.abort(new Error('enough')),
  }),
);

const after = new AbortController();
seen.abortedAfter = await outcome(
  convert({ sources, target: target('after.qcow2'), compress: true, signal: after.signal }),
);
after.abort();

const none = { sources: ['/none/at/all'], target: target('none.qcow2') };
seen.missingSource = await outcome(convert(none));
seen.badValue = await outcome(
  convert({ sources, target: target('bad.qcow2'), create: { clusterSize: 1000 } }),
);
seen.noSources = await outcome(convert({ sources: [], target: target('bad.qcow2') }));
seen.again = await outcome(convert({ sources, target: target('again.qcow2'), compress: true }));

// A relative name belongs to the working directory of the call.
const home = process.cwd();
process.chdir(directory);
const moved = outcome(convert({ sources, target: 'moved.qcow2', compress: true, verify: true }));
process.chdir('/');
seen.moved = await moved;
process.chdir(home);
seen.bytes = await outcome(
  convert({ sources: [Buffer.from('a\xff', 'latin1')], target: target('bytes.qcow2') }),
);

seen.openFiles = ours(openFiles());
process.stdout.write(JSON.stringify(seen));
