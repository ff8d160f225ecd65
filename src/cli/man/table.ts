/** The table of `man`. */
import { type CommandTable, EVERYWHERE } from '../options/option-table.js';

export const MAN_TABLE: CommandTable = {
  name: 'man',
  summary: 'print the manual page',
  synopsis: ['qcow2c man'],
  operands: [],
  description: [
    'Prints the manual page qcow2c(1) as troff source. It contains the help of all commands. If qcow2c was installed ' +
      "from its package, 'man qcow2c' shows the same page.",
  ],
  groups: [{ title: 'Options', options: EVERYWHERE }],
  notes: [
    {
      title: 'Read or install it',
      verbatim: ['qcow2c man | man -l -', 'qcow2c man > ~/.local/share/man/man1/qcow2c.1'],
    },
  ],
  examples: [{ what: 'Print the page', line: 'qcow2c man' }],
  exitCodes: [
    ['0', 'success'],
    ['1', 'an error, described in one line on standard error'],
  ],
};
