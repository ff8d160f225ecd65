/** The table of `info`: its options and its help. */
import { NBD_OPTIONS } from '../options/nbd-options.js';
import {
  FORCE_SHARE,
  FORMAT,
  IMAGE_OPTS,
  MEMORY,
  PARALLEL,
  PROGRESS,
  SHOW_PROGRESS,
} from '../options/option-rows.js';
import { type CommandTable, EVERYWHERE, STOPPED } from '../options/option-table.js';

export const INFO_TABLE: CommandTable = {
  name: 'info',
  summary: 'show the format, sizes, snapshots and bitmaps of an image',
  synopsis: [
    'qcow2c info [-f FMT] [options] FILE',
    'qcow2c info --image-opts [options] KEY=VALUE[,KEY=VALUE]',
  ],
  operands: 'files',
  description: [
    "Prints what 'qemu-img info' prints: the format and the sizes of FILE, and the header, snapshots and bitmaps of " +
      'a qcow2 image.',
    'Only FILE is opened. With --backing-chain its backing files are opened too. No data of any file is shown.',
  ],
  groups: [
    {
      title: 'Image',
      options: [
        FORMAT,
        IMAGE_OPTS,
        {
          flags: ['--backing-chain'],
          help: 'describe FILE and all its backing files (names in images are followed, even if the format was probed)',
        },
        FORCE_SHARE,
        ...NBD_OPTIONS,
        {
          flags: ['--object'],
          argument: 'DEFINITION',
          help: 'not supported: the header of an encrypted image is shown without a secret',
        },
      ],
    },
    {
      title: 'Clusters',
      options: [
        {
          flags: ['--deep'],
          help: 'examine every cluster: count compressed clusters, compression ratio, wasted bytes and window size (decompresses all data)',
        },
        {
          ...PARALLEL,
          help: 'maximum number of threads for --deep (default: one per available processor, within the CPU quota of the cgroup)',
        },
        MEMORY,
        { ...SHOW_PROGRESS, help: 'show progress of --deep; same as --progress=auto' },
        {
          ...PROGRESS,
          help: "progress style, on standard error: auto (bar on a terminal, otherwise qemu), bar, qemu (as 'qemu-img -p'), log or log,SECONDS (a line every 10 or SECONDS seconds), json or json,SECONDS (one object per line, every 1 or SECONDS seconds) or none",
        },
      ],
    },
    {
      title: 'Output',
      options: [
        {
          flags: ['--output'],
          argument: 'FORMAT',
          choices: ['human', 'json'],
          help: 'output format: human or json (default: human); json is an object, or a list of objects with --backing-chain',
        },
        ...EVERYWHERE,
      ],
    },
  ],
  notes: [],
  examples: [
    { what: 'Describe an image', line: 'qcow2c info disk.qcow2' },
    { what: 'JSON for a script', line: 'qcow2c info --output=json disk.qcow2' },
    { what: 'Describe an overlay and its backing files', line: 'qcow2c info --backing-chain overlay.qcow2' },
    { what: 'Show how well an image is compressed', line: 'qcow2c info --deep -p disk.qcow2' },
    { what: 'A raw disk whose content looks like an image', line: 'qcow2c info -f raw disk.raw' },
  ],
  exitCodes: [['0', 'success'], ['1', 'an error, described in one line on standard error'], STOPPED],
};
