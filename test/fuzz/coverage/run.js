// Builds the fuzz targets and runs Jazzer.js on each in turn: node test/fuzz/coverage/run.js [TARGET...] [--seeds] [--keep]
// --seeds adds new small images to the inputs to begin with; --keep leaves the smallest set of inputs that covers what
// was covered in test/fuzz/corpus. QCOW2C_FUZZ_SECONDS: how long each target runs, 60 by default.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { build } from 'vite';
import { makeSeeds } from './seeds.js';

const HERE = dirname(fileURLToPath(import.meta.url));
const ROOT = resolve(HERE, '../../..');
const CACHE = join(ROOT, 'node_modules/.cache/qcow2c-fuzz');
const BUILD = join(CACHE, 'build');
const SUFFIX = '-target.ts';
const TARGETS = readdirSync(HERE)
  .filter((name) => name.endsWith(SUFFIX))
  .map((name) => name.slice(0, -SUFFIX.length));

/** Of one input: seconds, and MiB of the process. A hang and a growing memory are findings. */
const TIMEOUT = 20;
const MEMORY = 2048;
/** Bytes of an input. */
const LONGEST = 16384;

const USAGE = `usage: npm run fuzz:coverage -- [--seeds] [--keep] [${TARGETS.join('|')}]...`;

const { values, positionals } = parseArgs({
  options: {
    seeds: { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h' },
  },
  allowPositionals: true,
});
if (values.help) {
  console.log(USAGE);
  process.exit();
}
const seconds = Number(process.env.QCOW2C_FUZZ_SECONDS ?? 60);
const unknown = positionals.filter((name) => !TARGETS.includes(name));
if (unknown.length > 0 || !(seconds > 0)) {
  console.error(USAGE);
  process.exit(2);
}

/** Each module separately, so that our code is distinguished from other code, and lines are those of the source. */
async function buildTargets() {
  const inputs = [...TARGETS.map((name) => `${name}-target`), 'packed-inputs'];
  await build({
    root: ROOT,
    configFile: false,
    logLevel: 'warn',
    build: {
      ssr: true,
      target: 'node20',
      outDir: BUILD,
      emptyOutDir: true,
      minify: false,
      sourcemap: 'inline',
      rollupOptions: {
        input: Object.fromEntries(inputs.map((name) => [name, join(HERE, `${name}.ts`)])),
        external: ['fs-ext'],
        preserveEntrySignatures: 'strict',
        output: { preserveModules: true, preserveModulesRoot: ROOT, entryFileNames: '[name].mjs' },
      },
    },
  });
}

/** @returns its output, and its exit code: 77 with a finding */
function jazzer(target, directories, options) {
  const { status, signal, stdout, stderr, error } = spawnSync(
    process.execPath,
    [
      join(HERE, 'jazzer.js'),
      join(BUILD, `${target}-target.mjs`),
      // Only the tested code is measured.
      ...['-i', join(BUILD, 'src')],
      // They look for other faults than a decoder of images can have.
      ...['--disable_bug_detectors', '.*'],
      ...['--timeout', `${TIMEOUT * 1000}`, '--'],
      ...options,
      ...directories,
    ],
    { cwd: ROOT, encoding: 'utf8', maxBuffer: 2 ** 30 },
  );
  if (error !== undefined) throw error;
  return { code: status ?? signal, output: stdout + stderr };
}

/** Puts inputs into a directory, by names that follow from their bytes. */
function put(directory, inputs) {
  mkdirSync(directory, { recursive: true });
  for (const input of inputs) {
    writeFileSync(join(directory, createHash('sha1').update(input).digest('hex')), input);
  }
}

const filesIn = (directory) =>
  existsSync(directory) ? readdirSync(directory).map((name) => readFileSync(join(directory, name))) : [];

/** @returns whether nothing was found */
function run(target, { packInputs, unpackInputs }, seeds) {
  const kept = join(ROOT, 'test/fuzz/corpus', `${target}.txt`);
  const corpus = join(CACHE, 'corpus', target);
  const found = join(CACHE, 'found', target);
  rmSync(found, { recursive: true, force: true });
  mkdirSync(found, { recursive: true });
  put(corpus, existsSync(kept) ? unpackInputs(readFileSync(kept, 'utf8')) : []);
  put(corpus, filesIn(join(ROOT, 'test/fuzz/findings', target)));
  put(corpus, seeds?.[target] ?? seeds?.image ?? []);

  const { code, output } = jazzer(
    target,
    [corpus],
    [
      `-max_total_time=${seconds}`,
      `-max_len=${LONGEST}`,
      `-rss_limit_mb=${MEMORY}`,
      `-dict=${join(HERE, 'qcow2.dict')}`,
      `-artifact_prefix=${found}/`,
      '-print_final_stats=1',
    ],
  );
  const executions = /number_of_executed_units: (\d+)/.exec(output)?.[1] ?? '?';
  const [covered = 'no coverage'] = output.match(/cov: \d+ ft: \d+ corp: \d+\/\S+/g)?.slice(-1) ?? [];
  console.log(`${target}: ${executions} executions, ${covered}, exit code ${code}`);
  const findings = readdirSync(found).filter((name) => !name.startsWith('slow-unit'));
  if (code !== 0 || findings.length > 0) {
    console.log(output.split('\n').slice(-40).join('\n'));
    for (const name of findings) console.log(`FOUND: ${relative(ROOT, join(found, name))}`);
    console.log(`Repaired, it goes into test/fuzz/findings/${target}/ under a name that describes it.`);
    return false;
  }
  if (values.keep) {
    const merged = join(CACHE, 'merged', target);
    rmSync(merged, { recursive: true, force: true });
    mkdirSync(merged, { recursive: true });
    const { output: words } = jazzer(target, [merged, corpus], ['-merge=1', `-max_len=${LONGEST}`]);
    const inputs = filesIn(merged);
    if (inputs.length === 0) throw new Error(`nothing is left of the inputs of ${target}:\n${words}`);
    mkdirSync(dirname(kept), { recursive: true });
    writeFileSync(kept, packInputs(inputs));
    console.log(`${target}: ${inputs.length} inputs kept in ${relative(ROOT, kept)}`);
  }
  return true;
}

await buildTargets();
const packing = await import(pathToFileURL(join(BUILD, 'packed-inputs.mjs')).href);
const seeds = values.seeds ? makeSeeds() : undefined;
const wanted = positionals.length > 0 ? positionals : TARGETS;
const sound = wanted.map((target) => run(target, packing, seeds));
if (sound.includes(false)) process.exitCode = 1;
