/** `compare` on the command line: its options, and what its help says. */

import { IMAGE_FORMATS } from '../../image/image-reference.js';
import {
  CACHE,
  FORCE_SHARE,
  IMAGE_OPTS,
  MEMORY,
  NO_OBJECT,
  PARALLEL,
  PROGRESS,
  SHOW_PROGRESS,
} from '../option-rows.js';
import { type CommandTable, EVERYWHERE } from '../option-table.js';

export const COMPARE_TABLE: CommandTable = {
  name: 'compare',
  summary: 'say whether two images show the same disk',
  synopsis: ['qcow2c compare [options] FILE1 FILE2'],
  operands: 'files',
  description: [
    'Compares what a guest would see in the two images, whatever their formats, and says where they differ first. ' +
      'A disk that is longer than the other is the same when the rest of it is zeros.',
  ],
  groups: [
    {
      title: 'Options',
      options: [
        {
          flags: ['-f', '--a-format'],
          argument: 'FMT',
          completes: IMAGE_FORMATS,
          help: 'format of FILE1: raw or qcow2 (default: look into the file; then it may name no backing file and no data file)',
        },
        {
          flags: ['-F', '--b-format'],
          argument: 'FMT',
          completes: IMAGE_FORMATS,
          help: 'format of FILE2 (likewise)',
        },
        {
          ...IMAGE_OPTS,
          help: "FILE1 and FILE2 are not names but options: driver=qcow2,file.filename=FILE and others (see 'qcow2c help convert')",
        },
        {
          flags: ['-s', '--strict'],
          help: 'sizes and what is allocated must be the same too',
        },
        PARALLEL,
        MEMORY,
        {
          ...CACHE,
          help: 'how the images are read (default: writeback); none and directsync go past the page cache',
        },
        SHOW_PROGRESS,
        PROGRESS,
        { flags: ['-q', '--quiet'], help: 'print nothing but errors; the exit code is the answer' },
        { ...FORCE_SHARE, help: 'read the images although virtual machines may be writing to them' },
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
    { what: 'Ask in a script', line: 'qcow2c compare -q -f raw -F qcow2 disk.raw disk.qcow2' },
    {
      what: 'Compare trusted images with backing files',
      line: 'qcow2c compare -f qcow2 -F qcow2 overlay.qcow2 flat.qcow2',
    },
    {
      what: 'Leave out what backing files hold',
      line: 'qcow2c compare --image-opts file.filename=a,backing= file.filename=b',
    },
  ],
  exitCodes: [
    ['0', 'the disks are identical'],
    ['1', 'they differ; or the command line makes no sense'],
    ['2', 'an image could not be opened, or another error'],
    ['3', 'an image does not tell what is allocated'],
    ['4', 'an image could not be read'],
    ['129, 130, 143', 'stopped by SIGHUP, SIGINT or SIGTERM'],
  ],
};
