// `npm run bench`: qcow2c and qemu-img side by side on this machine. See USAGE. Exit status 1 when a command fails or an
// output is wrong, not for a missed bar.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { makeBuilds } from './builds.js';
import { corpus, corpusFormat, describeCorpus } from './corpora.js';
import { seconds } from './format.js';
import { machineFacts, requireDisk, requirePrograms } from './machine.js';
import { countWrites, timedRun } from './measure.js';
import { svg } from './plot.js';
import { barsTable, markdown, sidesTable } from './report.js';
import { judgeRow, ROWS } from './rows.js';
import { SIDES } from './sides.js';
import { verify } from './verify.js';

/**
 * @typedef {import('./sides.js').Side} Side
 * @typedef {import('./bars.js').Measured} Measured
 */

const HERE = fileURLToPath(new URL('.', import.meta.url));

const USAGE = `usage: npm run bench -- [--runs N] [--only ROW[,ROW]] [--dir DIR]

  --runs N          rounds of each command (default: 5)
  --only ROW[,ROW]  measure these rows only
  --dir DIR         directory for the disks and the outputs (default: bench/corpora)
  -h, --help        print this text

Writes results.md and results.svg into bench, or with --only into DIR.
Rows: ${ROWS.map(({ id }) => id).join(', ')}`;

/** @param {string} line */
const say = (line) => void process.stderr.write(`${line}\n`);

/** @param {string} [list] ids of rows, separated by commas @throws Error for an unknown one */
function chosenRows(list) {
  if (list === undefined) return [...ROWS];
  const ids = list.split(',');
  const unknown = ids.find((id) => !ROWS.some((row) => row.id === id));
  if (unknown !== undefined)
    throw new Error(`no row ${unknown}; rows: ${ROWS.map(({ id }) => id).join(', ')}`);
  return ROWS.filter(({ id }) => ids.includes(id));
}

/**
 * The traced run and the counted rounds of all sides that share a source.
 * @param {readonly Side[]} sides @param {string} source @param {string} output a directory
 * @param {(corpus: string) => string} other gives the path of another corpus
 * @param {number} runs @param {string[]} wrong what is wrong with an output is added here
 * @returns {Promise<[string, Measured][]>} by the side's id
 */
async function measureSides(sides, source, output, other, runs, wrong) {
  const target = join(output, 'target');
  /** @type {[string, Measured][]} */
  const results = [];
  for (const side of sides) {
    const writes = await countWrites(side.command(source, target, other), target, output);
    const complaint = complaintOf(side, source, target);
    if (complaint !== undefined) wrong.push(`${side.id}: ${complaint}`);
    say(`${side.id}: ${writes} writes${complaint === undefined ? '' : `, WRONG: ${complaint}`}`);
    results.push([side.id, { runs: [], writes }]);
  }
  for (let round = 1; round <= runs; round++) {
    for (const [n, side] of sides.entries()) {
      const sample = timedRun(side.command(source, target, other), target, output);
      results[n][1].runs.push(sample);
      say(`${side.id} ${round}/${runs}: wall ${seconds(sample.wall)}, CPU ${seconds(sample.cpu)}`);
    }
  }
  return results;
}

/** @param {Side} side @param {string} source @param {string} target */
function complaintOf({ makes, corpus: name }, source, target) {
  if (makes !== 'image' && makes !== 'raw') return undefined;
  return verify(source, corpusFormat(name), target, makes === 'image' ? 'qcow2' : 'raw');
}

async function main() {
  // Node.js 20 reads those certificates at its start, which differs between machines. bin/qcow2c.js unsets it too.
  delete process.env.NODE_EXTRA_CA_CERTS;
  const { values } = parseArgs({
    options: {
      runs: { type: 'string', default: '5' },
      only: { type: 'string' },
      dir: { type: 'string', default: join(HERE, 'corpora') },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help) {
    console.log(USAGE);
    return;
  }
  const runs = Number(values.runs);
  if (!Number.isInteger(runs) || runs < 1) throw new Error(`--runs ${values.runs}: not a number of runs`);
  const rows = chosenRows(values.only);
  requirePrograms();
  const directory = requireDisk(values.dir);
  await makeBuilds();
  const facts = machineFacts(directory);
  const missing = rows.flatMap((row) => row.sides).find((side) => !SIDES.some(({ id }) => id === side));
  if (missing !== undefined) throw new Error(`no side ${missing}`);
  const sides = SIDES.filter(({ id }) => rows.some((row) => row.sides.includes(id)));
  const names = [...new Set(sides.map((side) => side.corpus))];
  const output = join(directory, 'output');
  /** @type {Map<string, Measured>} */
  const results = new Map();
  /** @type {string[]} */
  const wrong = [];
  rmSync(output, { recursive: true, force: true });
  mkdirSync(output);
  try {
    for (const name of names) {
      const path = (/** @type {string} */ wanted) => corpus(directory, wanted, say);
      const source = path(name);
      const together = sides.filter((side) => side.corpus === name);
      for (const [id, measured] of await measureSides(together, source, output, path, runs, wrong)) {
        results.set(id, measured);
      }
    }
  } finally {
    rmSync(output, { recursive: true, force: true });
  }
  const judged = rows.map((row) => judgeRow(row, results));
  const corpora = names.map((name) => /** @type {[string, string]} */ ([name, describeCorpus(name)]));
  const args = process.argv.slice(2);
  const command = ['npm run bench', ...(args.length > 0 ? ['--', ...args] : [])].join(' ');
  const report = markdown({
    judged,
    sides,
    results,
    facts: [...facts, ['command', command]],
    corpora,
    wrong,
    runs,
  });
  const place = values.only === undefined ? HERE : directory;
  writeFileSync(join(place, 'results.md'), report);
  writeFileSync(join(place, 'results.svg'), svg(judged, sides, results));
  console.log(`${sidesTable(sides, results)}\n\n${barsTable(judged)}\n`);
  if (wrong.length > 0) throw new Error(`wrong outputs: ${wrong.join('; ')}`);
}

main().catch((error) => {
  say(`bench: ${error.message}`);
  process.exitCode = 1;
});
