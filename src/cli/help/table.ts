/** The table of `help`. */
import { type CommandTable, EVERYWHERE } from '../options/option-table.js';

export const HELP_TABLE: CommandTable = {
  name: 'help',
  summary: 'print the help of a command',
  synopsis: ['qcow2c help [COMMAND]'],
  operands: 'command',
  description: ["Same as 'qcow2c COMMAND --help'. Without COMMAND, same as 'qcow2c --help'."],
  groups: [{ title: 'Options', options: EVERYWHERE }],
  notes: [],
  examples: [{ what: 'Options of convert', line: 'qcow2c help convert' }],
  exitCodes: [
    ['0', 'success'],
    ['1', 'there is no such command'],
  ],
};
