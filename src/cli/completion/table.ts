/** The table of `completion`: its options and its help. */
import { type CommandTable, EVERYWHERE } from '../options/option-table.js';
import { SHELLS } from './request.js';

export const COMPLETION_TABLE: CommandTable = {
  name: 'completion',
  summary: 'print a completion script for a shell',
  synopsis: ['qcow2c completion SHELL'],
  operands: SHELLS,
  description: [
    'Prints a completion script for bash, zsh or fish. It completes commands, options, their arguments, keys of -o ' +
      'and file names.',
  ],
  groups: [{ title: 'Options', options: EVERYWHERE }],
  notes: [
    {
      title: 'In bash',
      verbatim: ['source <(qcow2c completion bash)       now, or in ~/.bashrc'],
    },
    {
      title: 'In bash with the package bash-completion',
      verbatim: [
        'there=~/.local/share/bash-completion/completions; mkdir -p $there',
        'qcow2c completion bash > $there/qcow2c',
      ],
    },
    {
      title: 'In zsh',
      verbatim: ['source <(qcow2c completion zsh)        now, or in ~/.zshrc after compinit'],
    },
    {
      title: 'In zsh, loaded on demand',
      verbatim: [
        'mkdir -p ~/.zsh; qcow2c completion zsh > ~/.zsh/_qcow2c',
        'fpath=(~/.zsh $fpath)                  in ~/.zshrc before compinit',
      ],
    },
    {
      title: 'In fish',
      verbatim: [
        'qcow2c completion fish | source        now',
        'qcow2c completion fish > ~/.config/fish/completions/qcow2c.fish',
      ],
    },
    {
      title: 'For all users, as root: write the output to one of',
      verbatim: [
        '/usr/share/bash-completion/completions/qcow2c',
        '/usr/share/zsh/vendor-completions/_qcow2c    or site-functions/_qcow2c',
        '/usr/share/fish/vendor_completions.d/qcow2c.fish',
      ],
    },
  ],
  examples: [
    { what: 'The script for bash', line: 'qcow2c completion bash' },
    { what: 'The script for zsh', line: 'qcow2c completion zsh' },
    { what: 'The script for fish', line: 'qcow2c completion fish' },
  ],
  exitCodes: [
    ['0', 'success'],
    ['1', 'an error, described in one line on standard error'],
  ],
};
