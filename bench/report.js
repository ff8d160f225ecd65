// The report as Markdown: bars first, then all medians, then how it was measured; pure.
import { values } from './bars.js';
import { figure, limit, mebibytes, seconds } from './format.js';
import { median } from './statistics.js';

/**
 * @typedef {import('./bars.js').Verdict} Verdict
 * @typedef {import('./bars.js').Results} Results
 * @typedef {import('./rows.js').Row} Row
 * @typedef {import('./sides.js').Side} Side
 * @typedef {{ row: Row, verdicts: Verdict[], shown: [label: string, value: string][] }} Judged
 * @typedef {{ judged: Judged[], sides: Side[], results: Results, facts: [string, string][],
 *   corpora: [string, string][], wrong: string[], runs: number }} Report
 */

/**
 * @param {string[]} head @param {string[][]} rows each as long as the head
 * @param {string} align one letter a column: l or r
 */
export function table(head, rows, align) {
  const rule = [...align].map((side) => (side === 'r' ? '--:' : '---'));
  return [head, rule, ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

/** @param {Verdict} verdict @returns {string} the limit in words */
function bar(verdict) {
  const own = `${verdict.relation} ${limit(verdict.limit, verdict.unit)}`;
  return verdict.or === undefined ? own : `${own}, or ${verdict.or.label} ${bar(verdict.or)}`;
}

/** @param {Verdict} verdict @returns {string} */
function measured(verdict) {
  const own = figure(verdict.value, verdict.unit);
  return verdict.or === undefined ? own : `${own}; ${measured(verdict.or)}`;
}

/** @param {readonly Judged[]} judged */
export function barsTable(judged) {
  const rows = judged.flatMap(({ row, verdicts, shown }) => {
    const lines = [
      ...verdicts.map((verdict) => [
        verdict.label,
        measured(verdict),
        bar(verdict),
        verdict.reached ? 'reached' : '**missed**',
      ]),
      ...shown.map((cells) => [...cells, '', '']),
    ];
    return lines.map((cells, n) => (n === 0 ? [row.title, row.against ?? '', ...cells] : ['', '', ...cells]));
  });
  return table(['case', 'against', 'figure', 'measured', 'bar', ''], rows, 'lllrll');
}

/** @param {readonly Side[]} sides @param {Results} results */
export function sidesTable(sides, results) {
  const rows = sides.map(({ id, corpus, label, makes }) => {
    const wall = values(results, id, 'wall');
    const written = makes !== 'nothing';
    return [
      corpus,
      `\`${label}\``,
      seconds(median(wall)),
      `${Math.min(...wall).toFixed(2)} to ${Math.max(...wall).toFixed(2)}`,
      seconds(median(values(results, id, 'cpu'))),
      mebibytes(median(values(results, id, 'peak'))),
      written ? String(median(values(results, id, 'size'))) : '',
      written ? String(results.get(id)?.writes) : '',
    ];
  });
  const head = ['source', 'command', 'wall', 'from, to', 'CPU', 'peak memory', 'output bytes', 'writes'];
  return table(head, rows, 'llrrrrrr');
}

/** @param {Report} report @returns {string} */
export function markdown({ judged, sides, results, facts, corpora, wrong, runs }) {
  const verdicts = judged.flatMap((one) => one.verdicts);
  const reached = verdicts.filter((verdict) => verdict.reached).length;
  return `# Side by side with qemu-img

${reached} of ${verdicts.length} bars are reached. ${wrong.length === 0 ? 'All outputs are right (`qemu-img check`, `qemu-img compare`).' : `**Wrong outputs:** ${wrong.join('; ')}`}

![How much of each bar is used](results.svg)

## Bars

${barsTable(judged)}

Ratios are medians over pairs of runs that ran in the same round.

## Medians

${sidesTable(sides, results)}

## Machine

${table(['', ''], facts, 'll')}

## Sources

${table(['source', 'what it is'], corpora, 'll')}

## How it was measured

- One run of each side first, not counted: it warms the page cache with the source, runs under strace to count
  the write calls on the target, and its output is checked and compared with the source by qemu-img.
- Then ${runs} rounds; a round runs every side of a source once, one after the other (A B C A B C).
- Before each run the last output is removed and \`sync\` waits for the disk, so no run pays for another's dirty
  pages. Sources are read through the page cache; outputs go to the same disk.
- Wall time is taken around the whole command, for qcow2c with the start of Node. CPU time (user and system, of
  all threads) comes from the shell, peak resident memory from GNU time.
- Without \`-t\`, qcow2c writes with O_DIRECT and syncs, and qemu-img writes to the page cache and does not sync
  (its default is \`unsafe\`): its time then lacks the disk's.
- The engine loop is one program that starts Node and a worker thread on every core, finds the holes, reads the
  data, tests for zeros and runs libdeflate over the non-zero clusters, and writes nothing.
`;
}
