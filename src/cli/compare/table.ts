/** `compare` on the command line: its options, and what its help says. */
import { CACHE_MODES } from '../../storage/cache-mode.js';
import { type CommandTable, EVERYWHERE, IMAGE_FORMATS } from '../option-table.js';

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
          help: 'format of FILE2, likewise',
        },
        {
          flags: ['--image-opts'],
          help: "FILE1 and FILE2 are not names but options, for instance driver=qcow2,file.filename=FILE; see 'qcow2c convert --help'",
        },
        {
          flags: ['-s', '--strict'],
          help: 'the sizes must be the same too, and what is allocated, and how',
        },
        {
          flags: ['-m', '--parallel'],
          argument: 'N',
          help: 'worker threads (default: one for each processor)',
        },
        {
          flags: ['-T', '--cache'],
          argument: 'MODE',
          completes: CACHE_MODES,
          help: 'how the images are read (default: writeback); none and directsync go past the page cache',
        },
        { flags: ['-p'], help: 'show progress; the same as --progress=auto' },
        {
          flags: ['--progress'],
          argument: 'STYLE',
          bare: 'auto',
          choices: ['auto', 'bar', 'qemu', 'json', 'none'],
          help: "auto: a bar on a terminal, else as qemu; bar: on standard error; qemu: the lines of 'qemu-img -p' on standard output; json: an object a line on standard error; none",
        },
        { flags: ['-q', '--quiet'], help: 'print nothing but errors; the exit code is the answer' },
        {
          flags: ['-U', '--force-share'],
          help: 'read the images although a virtual machine may be writing to them',
        },
        {
          flags: ['--object'],
          argument: 'DEFINITION',
          help: 'always refused: there is no encryption and no network disk that it could serve',
        },
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
      what: 'Leave out the backing file that an image names',
      line: 'qcow2c compare --image-opts driver=qcow2,file.filename=disk.qcow2,backing= driver=raw,file.filename=disk.raw',
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
