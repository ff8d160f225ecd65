/** `info` on the command line: its options, and what its help says. */
import { FORCE_SHARE, FORMAT, IMAGE_OPTS, MEMORY, PARALLEL } from '../option-rows.js';
import { type CommandTable, EVERYWHERE } from '../option-table.js';

export const INFO_TABLE: CommandTable = {
  name: 'info',
  summary: 'say what an image is',
  synopsis: [
    'qcow2c info [-f FMT] [options] FILE',
    'qcow2c info --image-opts [options] KEY=VALUE[,KEY=VALUE]',
  ],
  operands: 'files',
  description: [
    'Says what FILE is: its format, its sizes, what a qcow2 image says of itself, its snapshots and bitmaps. Prints ' +
      "what 'qemu-img info' prints.",
    'Only FILE is opened, not the files that it names, unless --backing-chain asks for its backing files. No data ' +
      'of any file are shown.',
  ],
  groups: [
    {
      title: 'Image',
      options: [
        FORMAT,
        IMAGE_OPTS,
        {
          flags: ['--backing-chain'],
          help: "tell of FILE, its backing file, that one's, and so on (names are followed whoever wrote them)",
        },
        FORCE_SHARE,
        {
          flags: ['--object'],
          argument: 'DEFINITION',
          help: 'always refused: what an encrypted image says of itself is read without a secret',
        },
      ],
    },
    {
      title: 'Clusters',
      options: [
        {
          flags: ['--deep'],
          help: 'look at every cluster too: how many are compressed, the compression ratio, wasted bytes, what a reader needs (inflates all that is compressed)',
        },
        {
          ...PARALLEL,
          help: 'most threads for --deep (default: one for each processor that the program may use, cgroup quotas included)',
        },
        MEMORY,
        { flags: ['-p'], help: 'show the progress of --deep; the same as --progress=auto' },
        {
          flags: ['--progress'],
          argument: 'STYLE',
          bare: 'auto',
          choices: ['auto', 'bar', 'qemu', 'json', 'none'],
          help: "how to show it, always on standard error: auto (a bar on a terminal, else as qemu), bar, qemu (the lines of 'qemu-img -p'), json (an object a line) or none",
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
          help: 'how to print it: human (lines for people) or json (an object, with --backing-chain a list of them) (default: human)',
        },
        ...EVERYWHERE,
      ],
    },
  ],
  notes: [],
  examples: [
    { what: 'What an image is', line: 'qcow2c info disk.qcow2' },
    { what: 'For a script', line: 'qcow2c info --output=json disk.qcow2' },
    { what: 'The whole chain of an overlay', line: 'qcow2c info --backing-chain overlay.qcow2' },
    { what: 'How well it is compressed', line: 'qcow2c info --deep -p disk.qcow2' },
    { what: 'A file that may look like an image, but is a disk', line: 'qcow2c info -f raw disk.raw' },
  ],
  exitCodes: [
    ['0', 'done'],
    ['1', 'an error; one line on standard error says which'],
    ['129, 130, 143', 'stopped by SIGHUP, SIGINT or SIGTERM'],
  ],
};
