/** The table of `compare`: its options and its help. */
import { IMAGE_FORMATS } from '../../image/image-reference.js';
import { NBD_OPTIONS } from '../options/nbd-options.js';
import {
  CACHE,
  FORCE_SHARE,
  IMAGE_OPTS,
  MEMORY,
  NO_OBJECT,
  PARALLEL,
  PROGRESS,
  SHOW_PROGRESS,
} from '../options/option-rows.js';
import { type CommandTable, EVERYWHERE, STOPPED } from '../options/option-table.js';

export const COMPARE_TABLE: CommandTable = {
  name: 'compare',
  summary: 'compare the content of two images',
  synopsis: ['qcow2c compare [options] FILE1 FILE2'],
  operands: 'files',
  description: [
    'Compares two images as a guest sees them, in any formats, and prints the first difference. Disks of different ' +
      'sizes are identical if the rest of the longer one is zeros.',
  ],
  groups: [
    {
      title: 'Options',
      options: [
        {
          flags: ['-f', '--a-format'],
          argument: 'FMT',
          completes: IMAGE_FORMATS,
          help: 'format of FILE1: raw or qcow2 (default: probe FILE1, and refuse it if it names a backing file or data file)',
        },
        {
          flags: ['-F', '--b-format'],
          argument: 'FMT',
          completes: IMAGE_FORMATS,
          help: 'format of FILE2 (see -f)',
        },
        {
          ...IMAGE_OPTS,
          help: "FILE1 and FILE2 are lists of options, not names: driver=qcow2,file.filename=FILE and so on (see 'qcow2c help convert')",
        },
        {
          flags: ['-s', '--strict'],
          help: 'compare sizes and allocation too',
        },
        PARALLEL,
        MEMORY,
        {
          ...CACHE,
          help: 'cache mode for reading the images (default: writeback); none and directsync bypass the page cache',
        },
        SHOW_PROGRESS,
        PROGRESS,
        { flags: ['-q', '--quiet'], help: 'print only errors; the exit code is the verdict' },
        { ...FORCE_SHARE, help: 'read the images even if virtual machines are using them' },
        ...NBD_OPTIONS,
        NO_OBJECT,
        ...EVERYWHERE,
      ],
    },
  ],
  notes: [],
  examples: [
    {
      what: 'Compare a compressed copy with its source',
      line: 'qcow2c compare -p -f raw disk.raw disk.qcow2',
    },
    { what: 'In a script', line: 'qcow2c compare -q -f raw -F qcow2 disk.raw disk.qcow2' },
    {
      what: 'Compare trusted images with backing files',
      line: 'qcow2c compare -f qcow2 -F qcow2 overlay.qcow2 flat.qcow2',
    },
    {
      what: 'Ignore the backing file',
      line: 'qcow2c compare --image-opts file.filename=a,backing= file.filename=b',
    },
  ],
  exitCodes: [
    ['0', 'the disks are identical'],
    ['1', 'they differ'],
    ['2', 'the command line is wrong, an image could not be opened, or another error occurred'],
    ['3', 'the allocation of an image is unknown'],
    ['4', 'an image could not be read'],
    STOPPED,
  ],
};
