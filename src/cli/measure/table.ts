/** `measure` on the command line: its options, and what its help says. */
import { type CommandTable, EVERYWHERE, IMAGE_FORMATS } from '../option-table.js';

export const MEASURE_TABLE: CommandTable = {
  name: 'measure',
  summary: 'say how large an image will become',
  synopsis: ['qcow2c measure [options] FILE', 'qcow2c measure [options] --size SIZE'],
  operands: 'files',
  description: ['Says how many bytes a new image with the content of FILE will have.'],
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
        { flags: ['-l', '--snapshot'], argument: 'SNAPSHOT', help: 'measure this internal snapshot' },
        {
          flags: ['-O', '--target-format'],
          argument: 'FMT',
          completes: IMAGE_FORMATS,
          help: 'qcow2 or raw (default: raw)',
        },
        {
          flags: ['-o', '--target-format-options'],
          argument: 'KEY=VALUE[,KEY=VALUE...]',
          repeatable: true,
          help: 'options of the format',
        },
        { flags: ['-s', '--size'], argument: 'SIZE', help: 'of a new disk without content' },
        {
          flags: ['-c', '--compress'],
          help: 'the exact size that convert -c would make, found by compressing',
        },
        {
          flags: ['--sample'],
          argument: 'PERCENT',
          help: 'with -c: compress only so much of the disk and estimate the rest',
        },
        {
          flags: ['-m', '--parallel'],
          argument: 'N',
          help: 'worker threads (default: one for each processor)',
        },
        {
          flags: ['--output'],
          argument: 'FORMAT',
          choices: ['human', 'json'],
          help: 'how to print it (default: human)',
        },
        { flags: ['-p'], help: 'show progress; the same as --progress=auto' },
        {
          flags: ['--progress'],
          argument: 'STYLE',
          bare: 'auto',
          choices: ['auto', 'bar', 'qemu', 'json', 'none'],
          help: "auto: a bar on a terminal, else as qemu; bar: on standard error; qemu: the lines of 'qemu-img -p' on standard output; json: an object a line on standard error; none",
        },
        { flags: ['-U', '--force-share'], help: 'accepted and without effect: no locks are taken or tested' },
        ...EVERYWHERE,
      ],
    },
  ],
  notes: [],
  examples: [{ what: 'How large a compressed image will be', line: 'qcow2c measure -O qcow2 -c disk.raw' }],
  exitCodes: [
    ['0', 'done'],
    ['1', 'an error; one line on standard error says which'],
  ],
};
