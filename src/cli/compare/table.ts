/** `compare` on the command line: its options, and what its help says. */
import { CACHE_MODES } from '../../storage/cache-mode.js';
import { type CommandTable, EVERYWHERE, IMAGE_FORMATS } from '../option-table.js';

export const COMPARE_TABLE: CommandTable = {
  name: 'compare',
  summary: 'compare the content of two images',
  synopsis: ['qcow2c compare [options] FILE1 FILE2'],
  operands: 'files',
  description: ['Compares what a guest would see in the two images.'],
  groups: [
    {
      title: 'Options',
      options: [
        {
          flags: ['-f', '--a-format'],
          argument: 'FMT',
          completes: IMAGE_FORMATS,
          help: 'format of FILE1: raw or qcow2 (default: look into the file)',
        },
        { flags: ['-F', '--b-format'], argument: 'FMT', completes: IMAGE_FORMATS, help: 'format of FILE2' },
        {
          flags: ['--image-opts'],
          help: 'FILE is not a name but options, for instance driver=qcow2,file.filename=FILE',
        },
        { flags: ['-s', '--strict'], help: 'sizes and what is allocated must be the same too' },
        {
          flags: ['-m', '--parallel'],
          argument: 'N',
          help: 'worker threads (default: one for each processor)',
        },
        {
          flags: ['-T', '--cache'],
          argument: 'MODE',
          completes: CACHE_MODES,
          help: 'how FILE is read (default: writeback)',
        },
        { flags: ['-p'], help: 'show progress; the same as --progress=auto' },
        {
          flags: ['--progress'],
          argument: 'STYLE',
          bare: 'auto',
          choices: ['auto', 'bar', 'qemu', 'json', 'none'],
          help: "auto: a bar on a terminal, else as qemu; bar: on standard error; qemu: the lines of 'qemu-img -p' on standard output; json: an object a line on standard error; none",
        },
        { flags: ['-q', '--quiet'], help: 'print nothing but errors' },
        { flags: ['-U', '--force-share'], help: 'accepted and without effect: no locks are taken or tested' },
        ...EVERYWHERE,
      ],
    },
  ],
  notes: [],
  examples: [{ what: 'Compare a copy with its source', line: 'qcow2c compare -p disk.raw disk.qcow2' }],
  exitCodes: [
    ['0', 'the images are identical'],
    ['1', 'they differ'],
    ['2', 'an image could not be opened, or another error'],
    ['3', 'what is allocated could not be found out'],
    ['4', 'an image could not be read'],
  ],
};
