// The rows of the benchmark: which sides each one compares and the bars it has to reach.
import { difference, judge, own, rate, rateBeyond, ratio, writesPerHostCluster } from './bars.js';
import { backup, systemFiles } from './corpus-rows.js';
import { figure } from './format.js';
import { SYSTEM_BYTES } from './system-files.js';
import { cpuAtMost, cpuRatio, notSlower, peakAtMost, sizeAtMost, timesFaster } from './usual-bars.js';

/**
 * @typedef {import('./bars.js').Bar} Bar
 * `shown` are figures that belong to the row and have no bar.
 * @typedef {import('./bars.js').Figure} Figure
 * @typedef {{ id: string, title: string, against?: string, sides: string[], bars: Bar[],
 *   shown?: Figure[] }} Row
 */

const MiB = 2 ** 20;
/** Reading qcow2 instead of raw may cost so much of each ratio. */
const NEARLY = 1.1;
const HOST_CLUSTER = 65536;

/**
 * dd writes with one request in flight and starts at once; a run that is within this much of it is as fast as
 * the disk takes the bytes.
 */
const AS_FAST_AS_THE_DISK = 1.05;

/** Two peaks of the same program differ by some pages from run to run; more than this is growth. */
const SAME_PEAK = 1.05;

/** @param {string} corpus @param {string} command @returns {string[]} sides */
const looksInto = (corpus, command) => [
  ...['qcow2c', 'qemu-img'].map((program) => `${corpus}/${program}-${command}`),
  `${corpus}/node`,
];

/** A conversion of 1 MiB in starts of Node. */
const STARTS = process.version.startsWith('v20.') ? 2.2 : 1.6;

/** @type {readonly Row[]} */
export const ROWS = [
  ...systemFiles('dense', 'Dense files', 0.22),
  ...systemFiles('ext4', '4 GiB ext4 disk', 0.24),
  {
    id: 'pipe',
    title: 'Dense files into a pipe, zlib',
    against: 'the file',
    sides: ['dense/plain', 'dense/pipe'],
    bars: [
      // It is compressed twice, and passes the pipe.
      cpuAtMost('dense/pipe', 'dense/plain', 2.1),
      sizeAtMost('dense/pipe', 'dense/plain', 1),
      peakAtMost('pipe', 'dense/pipe', 200),
    ],
  },
  {
    id: 'ones',
    title: '1000 MiB of ones',
    against: 'qemu-img -c -t none',
    sides: ['ones/direct', 'ones/qemu-direct'],
    bars: [timesFaster('ones/direct', 'ones/qemu-direct', 12)],
  },
  {
    id: 'ones-buffered',
    title: '1000 MiB of ones',
    against: 'qcow2c -c -t writeback',
    sides: ['ones/direct', 'ones/buffered'],
    bars: [
      {
        label: 'wall time ratio',
        relation: 'at most',
        limit: 1.05,
        unit: 'ratio',
        figure: ratio('wall', 'ones/direct', 'ones/buffered'),
      },
    ],
  },
  {
    id: 'ones-cache',
    title: '1000 MiB of ones',
    against: 'qcow2c without the write cache',
    sides: ['ones/direct', 'ones/no-cache'],
    bars: [
      {
        label: 'writes a host cluster',
        relation: 'at most',
        limit: 1,
        unit: 'ratio',
        figure: writesPerHostCluster('ones/direct', HOST_CLUSTER),
      },
    ],
    shown: [
      {
        label: 'writes a host cluster, no cache',
        unit: 'ratio',
        figure: writesPerHostCluster('ones/no-cache', HOST_CLUSTER),
      },
      { label: 'wall time, cache', unit: 'seconds', figure: own('wall', 'ones/direct') },
      { label: 'wall time, no cache', unit: 'seconds', figure: own('wall', 'ones/no-cache') },
    ],
  },
  {
    id: 'random',
    title: '512 MiB random',
    against: 'qemu-img -c -W -m 16 -t none',
    sides: ['random/direct', 'random/disk', 'random/qemu-parallel'],
    bars: [
      {
        ...timesFaster('random/direct', 'random/qemu-parallel', 3),
        or: {
          label: 'wall time over dd',
          relation: 'at most',
          limit: AS_FAST_AS_THE_DISK,
          unit: 'ratio',
          figure: ratio('wall', 'random/direct', 'random/disk'),
        },
      },
      sizeAtMost('random/direct', 'random/qemu-parallel', 1),
    ],
    shown: [{ label: 'the disk takes (dd)', unit: 'rate', figure: rate('random/disk') }],
  },
  {
    id: 'empty',
    title: '15 TiB empty',
    against: 'node -e 0',
    sides: ['empty15t/plain', 'empty15t/qemu-plain', 'empty15t/node'],
    bars: [
      {
        label: 'wall above the start of Node',
        relation: 'at most',
        limit: 0.5,
        unit: 'seconds',
        figure: difference('wall', 'empty15t/plain', 'empty15t/node'),
      },
    ],
    shown: [
      {
        label: 'wall above qemu-img -c',
        unit: 'seconds',
        figure: difference('wall', 'empty15t/plain', 'empty15t/qemu-plain'),
      },
    ],
  },
  {
    id: 'memory',
    title: 'Memory with 2 workers',
    sides: ['ext4/two-workers', 'sparse1t/two-workers', 'ext4in1t/two-workers'],
    bars: [
      peakAtMost('4 GiB', 'ext4/two-workers', 128),
      peakAtMost('1 TiB sparse', 'sparse1t/two-workers', 128),
      peakAtMost('same files in 1 TiB', 'ext4in1t/two-workers', 128),
      {
        label: 'peak, 1 TiB over 4 GiB',
        relation: 'at most',
        limit: SAME_PEAK,
        unit: 'ratio',
        figure: ratio('peak', 'ext4in1t/two-workers', 'ext4/two-workers'),
      },
    ],
  },
  {
    id: 'start',
    title: '1 MiB image',
    against: 'node -e 0',
    sides: ['small/plain', 'small/node'],
    bars: [
      cpuAtMost('small/plain', 'small/node', STARTS),
      {
        label: 'wall time',
        relation: 'at most',
        limit: 0.25,
        unit: 'seconds',
        figure: own('wall', 'small/plain'),
      },
    ],
  },
  {
    id: 'ceiling',
    title: 'An engine that costs nothing',
    sides: ['dense/free-engine', 'small/free-engine'],
    bars: [
      {
        label: 'the pipeline beyond the start',
        relation: 'at least',
        limit: 3072 * MiB,
        unit: 'rate',
        figure: rateBeyond('dense/free-engine', 'small/free-engine', SYSTEM_BYTES - MiB),
      },
    ],
  },
  {
    id: 'qcow2-plain',
    title: 'Plain qcow2 to zlib',
    against: 'qemu-img -c -W -m 16 -t none',
    sides: ['dense-plain/direct', 'dense-plain/qemu-parallel'],
    bars: [
      cpuAtMost('dense-plain/direct', 'dense-plain/qemu-parallel', 0.28 * NEARLY),
      timesFaster('dense-plain/direct', 'dense-plain/qemu-parallel', 4 / NEARLY),
      sizeAtMost('dense-plain/direct', 'dense-plain/qemu-parallel', 1),
      peakAtMost('plain qcow2', 'dense-plain/direct', 160),
    ],
  },
  ...backup('dense-zlib', 'Dense files'),
  ...backup('ext4-zlib', '4 GiB ext4 disk'),
  {
    id: 'qcow2-recompress',
    title: 'zlib qcow2 to zlib, --recompress',
    against: 'qemu-img -c -W -m 16 -t none',
    sides: ['dense-zlib/recompress', 'dense-zlib/qemu-parallel'],
    bars: [
      timesFaster('dense-zlib/recompress', 'dense-zlib/qemu-parallel', 4 / NEARLY),
      sizeAtMost('dense-zlib/recompress', 'dense-zlib/qemu-parallel', 1),
      peakAtMost('recompressed', 'dense-zlib/recompress', 160),
    ],
  },
  {
    id: 'qcow2-chain',
    title: 'Chain of three to one, zlib',
    against: 'qemu-img -c -W -m 16 -t none',
    sides: ['chain/direct', 'chain/recompress', 'chain/qemu-parallel'],
    bars: [
      timesFaster('chain/direct', 'chain/qemu-parallel', 4 / NEARLY),
      peakAtMost('chain', 'chain/direct', 160),
    ],
    shown: [
      {
        label: 'times faster (wall), --recompress',
        unit: 'times',
        figure: ratio('wall', 'chain/qemu-parallel', 'chain/recompress'),
      },
    ],
  },
  {
    id: 'nbd-restore',
    title: 'zlib qcow2 restored into qemu-nbd',
    against: 'qemu-img convert -n',
    sides: [
      'dense-zlib/qcow2c-restore',
      'dense-zlib/qemu-img-restore',
      'dense-zlib/qemu-img-parallel-restore',
    ],
    bars: [
      timesFaster('dense-zlib/qcow2c-restore', 'dense-zlib/qemu-img-restore', 1.5),
      peakAtMost('restore', 'dense-zlib/qcow2c-restore', 160),
    ],
    shown: [
      {
        label: 'times faster (wall) than -n -W -m 16 -t none',
        unit: 'times',
        figure: ratio('wall', 'dense-zlib/qemu-img-parallel-restore', 'dense-zlib/qcow2c-restore'),
      },
    ],
  },
  {
    id: 'incremental',
    title: 'Incremental of 1 % of 100 GiB',
    against: 'qcow2c -c of the changed data alone',
    sides: ['changed100g/file', 'changed100g/nbd', 'changes-only/direct'],
    bars: ['file', 'nbd'].map((from) => ({
      label: `wall above that, from ${from === 'nbd' ? 'an export' : 'a file'}`,
      relation: 'at most',
      limit: 1,
      unit: 'seconds',
      figure: difference('wall', `changed100g/${from}`, 'changes-only/direct'),
    })),
    shown: [
      { label: 'wall time of the changed data', unit: 'seconds', figure: own('wall', 'changes-only/direct') },
    ],
  },
  ...['qemu-nbd', 'nbdkit'].map((server) => ({
    id: `from-${server}`,
    title: `Dense files from ${server}, zlib`,
    against: 'qemu-img -c -W -m 16 -t none from the same export',
    sides: ['dense/direct', `dense/${server}-qcow2c`, `dense/${server}-qemu-img`],
    bars: [
      {
        label: 'wall time over that from the file',
        relation: /** @type {const} */ ('at most'),
        // 0.85 of the speed.
        limit: 1 / 0.85,
        unit: /** @type {const} */ ('ratio'),
        figure: ratio('wall', `dense/${server}-qcow2c`, 'dense/direct'),
      },
      timesFaster(`dense/${server}-qcow2c`, `dense/${server}-qemu-img`, 4),
      peakAtMost(`from ${server}`, `dense/${server}-qcow2c`, 160),
    ],
  })),
  {
    id: 'check-ext4',
    title: 'check, 4 GiB ext4 disk in zlib',
    against: 'qemu-img check',
    sides: looksInto('ext4-zlib', 'check'),
    bars: [notSlower('ext4-zlib', 'check'), peakAtMost('check', 'ext4-zlib/qcow2c-check', 160)],
  },
  {
    id: 'check-1t',
    title: 'check, 16 GiB mapped of 1 TiB',
    against: 'qemu-img check',
    sides: looksInto('mapped1t', 'check'),
    bars: [notSlower('mapped1t', 'check'), peakAtMost('check', 'mapped1t/qcow2c-check', 160)],
  },
  {
    id: 'compare-ext4',
    title: 'compare, the same disk in zlib and raw',
    against: 'qemu-img compare',
    sides: looksInto('ext4-zlib', 'compare'),
    bars: [
      timesFaster('ext4-zlib/qcow2c-compare', 'ext4-zlib/qemu-img-compare', 1.5),
      peakAtMost('compare', 'ext4-zlib/qcow2c-compare', 160),
    ],
    shown: [cpuRatio('ext4-zlib/qcow2c-compare', 'ext4-zlib/qemu-img-compare')],
  },
  {
    id: 'digest',
    title: 'Dense files, zlib, with --digest',
    against: 'qcow2c -c -t none',
    sides: ['dense/digest', 'dense/direct'],
    bars: [
      {
        label: 'wall time ratio',
        relation: 'at most',
        limit: 1.1,
        unit: 'ratio',
        figure: ratio('wall', 'dense/digest', 'dense/direct'),
      },
    ],
    shown: [cpuRatio('dense/digest', 'dense/direct')],
  },
  {
    id: 'checksum',
    title: 'checksum, 4 GiB ext4 disk in zlib',
    against: 'qemu-img convert -O raw && sha256sum',
    sides: ['ext4-zlib/checksum', 'ext4-zlib/raw-sum'],
    bars: [
      timesFaster('ext4-zlib/checksum', 'ext4-zlib/raw-sum', 3),
      peakAtMost('checksum', 'ext4-zlib/checksum', 160),
    ],
    shown: [cpuRatio('ext4-zlib/checksum', 'ext4-zlib/raw-sum')],
  },
  {
    id: 'compare-1t',
    title: 'compare, 16 GiB mapped of 1 TiB, and a copy',
    against: 'qemu-img compare',
    sides: looksInto('mapped1t', 'compare'),
    bars: [notSlower('mapped1t', 'compare'), peakAtMost('compare', 'mapped1t/qcow2c-compare', 160)],
  },
];

/** @param {Row} row @param {import('./bars.js').Results} results @returns {import('./report.js').Judged} */
export function judgeRow(row, results) {
  const shown = row.shown ?? [];
  return {
    row,
    verdicts: row.bars.map((bar) => judge(bar, results)),
    shown: shown.map((one) => [one.label, figure(one.figure(results), one.unit)]),
  };
}
