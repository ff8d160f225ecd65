/** `completion` on the command line: its options, and what its help says. */
import { type CommandTable, EVERYWHERE } from '../option-table.js';

export const COMPLETION_TABLE: CommandTable = {
  name: 'completion',
  summary: 'print what completes command lines in a shell',
  synopsis: ['qcow2c completion SHELL'],
  operands: ['bash', 'zsh', 'fish'],
  description: ['Prints a script that makes a shell complete the command lines of qcow2c.'],
  groups: [
    {
      title: 'Options',
      options: [...EVERYWHERE],
    },
  ],
  notes: [],
  examples: [{ what: 'In bash', line: 'qcow2c completion bash' }],
  exitCodes: [
    ['0', 'done'],
    ['1', 'an error; one line on standard error says which'],
  ],
};
