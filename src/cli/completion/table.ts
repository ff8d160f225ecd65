/** `completion` on the command line: its options, and what its help says. */
import { type CommandTable, EVERYWHERE } from '../option-table.js';
import { SHELLS } from './request.js';

export const COMPLETION_TABLE: CommandTable = {
  name: 'completion',
  summary: 'print what completes command lines in a shell',
  synopsis: ['qcow2c completion SHELL'],
  operands: SHELLS,
  description: [
    'Prints a script for SHELL, which is bash, zsh or fish. It makes the shell complete commands, options, their ' +
      'arguments, the keys of -o and names of files.',
  ],
  groups: [{ title: 'Options', options: EVERYWHERE }],
  notes: [
    {
      title: 'To try it',
      verbatim: [
        'source <(qcow2c completion bash)           in bash',
        'source <(qcow2c completion zsh)            in zsh, after compinit',
        'qcow2c completion fish | source            in fish',
      ],
    },
    {
      title: 'To install it for yourself',
      verbatim: [
        'mkdir -p ~/.local/share/bash-completion/completions',
        'qcow2c completion bash > ~/.local/share/bash-completion/completions/qcow2c',
        '',
        "qcow2c completion zsh > ~/.zsh/_qcow2c     with 'fpath=(~/.zsh $fpath)'",
        '                                           before compinit in ~/.zshrc',
        '',
        'qcow2c completion fish > ~/.config/fish/completions/qcow2c.fish',
      ],
    },
    {
      title: 'To install it for everybody',
      verbatim: [
        '/usr/share/bash-completion/completions/qcow2c',
        '/usr/share/zsh/vendor-completions/_qcow2c',
        '/usr/share/fish/vendor_completions.d/qcow2c.fish',
      ],
    },
    {
      paragraphs: [
        'Files in the folders of bash-completion are loaded by the package of that name; without it, put the line ' +
          "'source <(qcow2c completion bash)' into ~/.bashrc.",
      ],
    },
  ],
  examples: [
    { what: 'The script for bash', line: 'qcow2c completion bash' },
    { what: 'The script for zsh', line: 'qcow2c completion zsh' },
    { what: 'The script for fish', line: 'qcow2c completion fish' },
  ],
  exitCodes: [
    ['0', 'done'],
    ['1', 'an error; one line on standard error says which'],
  ],
};
