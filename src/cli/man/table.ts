/** `man` on the command line: what its help says. */
import { type CommandTable, EVERYWHERE } from '../option-table.js';

export const MAN_TABLE: CommandTable = {
  name: 'man',
  summary: 'print the manual page',
  synopsis: ['qcow2c man'],
  operands: [],
  description: [
    'Prints the manual page qcow2c(1) as troff source, with the help of all commands in one place. Where ' +
      "qcow2c was installed from its package, 'man qcow2c' shows the same.",
  ],
  groups: [{ title: 'Options', options: EVERYWHERE }],
  notes: [
    {
      title: 'To read it, or to install it',
      verbatim: ['qcow2c man | man -l -', 'qcow2c man > ~/.local/share/man/man1/qcow2c.1'],
    },
  ],
  examples: [{ what: 'Print the page', line: 'qcow2c man' }],
  exitCodes: [
    ['0', 'done'],
    ['1', 'an error; one line on standard error says which'],
  ],
};
