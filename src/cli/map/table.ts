/** `map` on the command line: its options, and what its help says. */
import { type CommandTable, EVERYWHERE, IMAGE_FORMATS } from '../option-table.js';

export const MAP_TABLE: CommandTable = {
  name: 'map',
  summary: 'say where the data of an image are',
  synopsis: ['qcow2c map [options] FILE'],
  operands: 'files',
  description: ['Prints the ranges of the disk and where each is stored.'],
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
        { flags: ['-s', '--start-offset'], argument: 'SIZE', help: 'begin at this byte of the disk' },
        { flags: ['-l', '--max-length'], argument: 'SIZE', help: 'end after so many bytes' },
        {
          flags: ['--output'],
          argument: 'FORMAT',
          choices: ['human', 'json', 'svg'],
          help: 'how to print it (default: human)',
        },
        { flags: ['-U', '--force-share'], help: 'read FILE although a virtual machine may be writing to it' },
        ...EVERYWHERE,
      ],
    },
  ],
  notes: [],
  examples: [{ what: 'Where the data of a disk are', line: 'qcow2c map --output=json disk.qcow2' }],
  exitCodes: [
    ['0', 'done'],
    ['1', 'an error; one line on standard error says which'],
  ],
};
