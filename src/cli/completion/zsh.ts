/** The completion script for zsh, to be sourced or found as _qcow2c in fpath. */
import { type CommandTable, type OptionRow, optionsOf } from '../options/option-table.js';
import { brief, type Offer, offerOf } from './offers.js';

/** @param tables in the order of the offered commands */
export function zshScript(tables: readonly CommandTable[]): string {
  const pairs = new Map<string, string>();
  const commands = tables.map(
    (table) => `    ${table.name})\n      ${argumentsOf(table, pairs)}\n      ;;\n`,
  );
  return `\
#compdef qcow2c
# Completes the command lines of qcow2c in zsh. Made by 'qcow2c completion zsh'.

_qcow2c_commands() {
  local -a commands=(
${tables.map(({ name, summary }) => `    ${quote(`${name}:${summary}`)}\n`).join('')}\
  )
  _describe -t commands 'command of qcow2c' commands
}

${[...pairs].map(([values, name]) => `${name}() {\n  _values -s , option \\\n${values}\n}\n`).join('\n')}
_qcow2c() {
  local curcontext=$curcontext state line ret=1
  typeset -A opt_args
  _arguments -C \\
    '(- : *)'{-V,--version}'[print the version and the compression engines found]' \\
    '(- : *)'{-h,--help}'[print this help]' \\
    '1: :_qcow2c_commands' \\
    '*:: :->arguments' && ret=0
  [[ $state == arguments ]] || return ret
  curcontext=\${curcontext%:*}-$words[1]:
  case $words[1] in
${commands.join('')}\
  esac
  return ret
}

if [[ $funcstack[1] == _qcow2c ]]; then
  _qcow2c "$@"
else
  compdef _qcow2c qcow2c
fi
`;
}

function argumentsOf(table: CommandTable, pairs: Map<string, string>): string {
  const specs = [...optionsOf(table).flatMap((row) => optionSpecs(row, pairs)), ...operandSpecs(table)];
  return `_arguments -s -S ${specs.map((spec) => `\\\n        ${quote(spec)} `).join('')}&& ret=0`;
}

/**
 * One spec for each name. Once a name was given, the others are no longer offered, unless the option can be repeated.
 */
function optionSpecs(row: OptionRow, pairs: Map<string, string>): string[] {
  const { flags, argument, bare, repeatable, help } = row;
  const offer = offerOf(row);
  const others = repeatable ? '*' : `(${isQuestion(row) ? '- : *' : flags.join(' ')})`;
  const explanation = `[${escaped(brief(help), /[[\]\\]/g)}]`;
  const message =
    offer === undefined ? '' : `${bare === undefined ? ':' : '::'}${escaped(argument as string, /[:\\]/g)}:`;
  const action = offer === undefined ? '' : actionOf(offer, pairs);
  return flags.map((flag) => {
    const follows =
      offer === undefined ? '' : flag.startsWith('--') ? (bare === undefined ? '=' : '=-') : '+';
    return `${others}${flag}${follows}${explanation}${message}${action}`;
  });
}

/** --help and --version stand alone. */
function isQuestion({ flags }: OptionRow): boolean {
  return flags.includes('--help') || flags.includes('--version');
}

function operandSpecs({ operands }: CommandTable): string[] {
  if (operands === 'files') return ['*:file:_files'];
  if (operands === 'command') return ['1: :_qcow2c_commands'];
  return operands.length === 0 ? [] : [`1: :(${operands.join(' ')})`];
}

function actionOf(offer: Offer, pairs: Map<string, string>): string {
  switch (offer.kind) {
    case 'words':
      return `(${offer.words.join(' ')})`;
    case 'file':
      return '_files';
    case 'any':
      return ' ';
    case 'pairs': {
      const values = Object.entries(offer.keys)
        .map(
          ([key, words]) =>
            `    ${quote(`${key}:value:${words.length === 0 ? ' ' : `(${words.join(' ')})`}`)}`,
        )
        .join(' \\\n');
      const name = pairs.get(values) ?? `_qcow2c_pairs${pairs.size === 0 ? '' : pairs.size + 1}`;
      pairs.set(values, name);
      return name;
    }
  }
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function escaped(text: string, special: RegExp): string {
  return text.replace(special, '\\$&');
}
