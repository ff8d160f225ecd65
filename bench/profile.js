// `node bench/profile.js [--runs N]`: where the CPU time of qcow2c goes, as the table of docs/performance.md. Samples
// each command with `perf record` and sorts the samples by library and symbol. Needs perf and the corpora of the benchmark.
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { COMPRESS, DIRECT, START } from './commands.js';
import { corpus } from './corpora.js';
import { median } from './statistics.js';

const CORPORA = fileURLToPath(new URL('corpora/', import.meta.url));
const SAMPLES_A_SECOND = 1999;

/** @type {readonly { name: string, corpus: string, args: string[] }[]} */
const COMMANDS = [
  { name: 'compress, default', corpus: 'dense', args: COMPRESS },
  { name: 'compress, `--fast`', corpus: 'dense', args: [...COMPRESS, '--fast'] },
  { name: 'copy payloads', corpus: 'dense-zlib', args: ['convert', '-f', 'qcow2', '-O', 'qcow2', '-c'] },
  { name: 'zlib to raw', corpus: 'dense-zlib', args: ['convert', '-f', 'qcow2', '-O', 'raw'] },
  { name: 'raw to raw', corpus: 'dense', args: ['convert', '-f', 'raw', '-O', 'raw'] },
];

/** Where a sample belongs: the first line whose patterns match its library and its symbol. */
const PLACES = /** @type {const} */ ([
  ['engine', /\/lib(deflate|isal|zstd)/, /./],
  ['copying in the kernel', /kernel/, /copy_to_iter|copy_from|copy_page|clear_page/],
  ['rest of the kernel', /kernel/, /./],
  ['copying and comparing memory', /libc/, /mem(cpy|move|set|cmp|chr)/],
  ['copying and comparing memory', /\/node$/, /memmove/],
  ['compiling for speed', /\/node$/, /internal::(compiler|maglev|baseline)/],
  [
    'reading and compiling source',
    /\/node$/,
    /Scanner|Pars(er|ing)|Bytecode|interpreter|Ast|Scope|StringTable|LineEnds/,
  ],
  ['garbage collection', /\/node$/, /Scaveng|Heap|Mark|Sweep|Evacuat/],
  ['JavaScript', /\/node$/, /Builtins_/],
  ['JavaScript', /perf-\d+\.map|anon|JIT|unknown/, /./],
  ['rest of Node.js', /./, /./],
]);
const NAMES = [...new Set(PLACES.map(([name]) => name))];

/** @param {string} library @param {string} symbol */
function placeOf(library, symbol) {
  const found = PLACES.find(([, inLibrary, named]) => inLibrary.test(library) && named.test(symbol));
  return found?.[0] ?? 'rest of Node.js';
}

/** @param {string} recording @returns {Promise<Map<string, number>>} samples by place */
async function samplesByPlace(recording) {
  const script = spawn('perf', ['script', '-i', recording, '-F', 'ip,sym,dso'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  /** @type {Map<string, number>} */
  const samples = new Map();
  for await (const line of createInterface(script.stdout)) {
    const sample = /^\s*[0-9a-f]+ (.*) \((.*)\)$/.exec(line);
    if (sample === null) continue;
    const place = placeOf(sample[2], sample[1]);
    samples.set(place, (samples.get(place) ?? 0) + 1);
  }
  if (samples.size === 0) throw new Error(`perf script found no sample in ${recording}`);
  return samples;
}

/** @param {string[]} argv @param {string} recording */
async function profile(argv, recording) {
  const { status, error, stderr } = spawnSync(
    'perf',
    ['record', '-q', '-F', `${SAMPLES_A_SECOND}`, '-o', recording, '--', ...argv],
    { encoding: 'utf8' },
  );
  if (status !== 0)
    throw new Error(
      `perf record failed: ${error === undefined ? stderr.trim() : `${error.message} (Debian: linux-perf)`}`,
    );
  return samplesByPlace(recording);
}

// As in bench/run.js.
delete process.env.NODE_EXTRA_CA_CERTS;
const { values } = parseArgs({
  options: { runs: { type: 'string', default: '3' }, help: { type: 'boolean', short: 'h' } },
});
if (values.help) {
  console.log('usage: node bench/profile.js [--runs N]   (N rounds of each command, default: 3)');
  process.exit();
}
const directory = join(CORPORA, 'profile');
mkdirSync(directory, { recursive: true });
try {
  /** @type {Map<string, number>[][]} */
  const rounds = [];
  for (let round = 0; round < Number(values.runs); round++) {
    rounds.push([]);
    for (const { corpus: name, args } of COMMANDS) {
      const argv = [
        ...START.qcow2c,
        ...args,
        ...DIRECT,
        corpus(CORPORA, name, (line) => console.error(line)),
        join(directory, 'target'),
      ];
      rounds[round].push(await profile(argv, join(directory, 'recording')));
    }
  }
  console.log(`| CPU seconds | ${COMMANDS.map(({ name }) => name).join(' | ')} |`);
  console.log(`| --- |${' --: |'.repeat(COMMANDS.length)}`);
  for (const name of [...NAMES, 'all']) {
    const cells = COMMANDS.map((_, n) => {
      const counts = rounds.map((round) =>
        name === 'all' ? [...round[n].values()].reduce((a, b) => a + b, 0) : (round[n].get(name) ?? 0),
      );
      return (median(counts) / SAMPLES_A_SECOND).toFixed(2);
    });
    console.log(`| ${name} | ${cells.join(' | ')} |`);
  }
} finally {
  rmSync(directory, { recursive: true, force: true });
}
