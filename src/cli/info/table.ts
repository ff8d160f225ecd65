/** `info` on the command line: its options, and what its help says. */
import { type CommandTable, EVERYWHERE, IMAGE_FORMATS } from '../option-table.js';

export const INFO_TABLE: CommandTable = {
  name: 'info',
  summary: 'say what an image is',
  synopsis: ['qcow2c info [options] FILE'],
  operands: 'files',
  description: [
    'Says what FILE is: format, sizes, what a qcow2 image says of itself, its snapshots and bitmaps.',
  ],
  groups: [
    {
      title: 'Options',
      options: [
        {
          flags: ['-f', '--format'],
          argument: 'FMT',
          completes: IMAGE_FORMATS,
          help: 'raw or qcow2 (default: look into the file)',
        },
        {
          flags: ['--image-opts'],
          help: 'FILE is not a name but options, for instance driver=qcow2,file.filename=FILE',
        },
        {
          flags: ['--output'],
          argument: 'FORMAT',
          choices: ['human', 'json'],
          help: 'how to print it (default: human)',
        },
        { flags: ['--backing-chain'], help: 'say it of every image of the chain of backing files' },
        {
          flags: ['--deep'],
          help: 'look at every cluster: how many are compressed, the ratio, wasted bytes',
        },
        {
          flags: ['-m', '--parallel'],
          argument: 'N',
          help: 'worker threads (default: one for each processor)',
        },
        { flags: ['-U', '--force-share'], help: 'accepted and without effect: no locks are taken or tested' },
        ...EVERYWHERE,
      ],
    },
  ],
  notes: [],
  examples: [{ what: 'What an image is', line: 'qcow2c info disk.qcow2' }],
  exitCodes: [
    ['0', 'done'],
    ['1', 'an error; one line on standard error says which'],
  ],
};
