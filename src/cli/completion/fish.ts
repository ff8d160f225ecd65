/** The completion script for fish 3 and later. */
import { type CommandTable, type OptionRow, optionsOf } from '../options/option-table.js';
import { brief, type Offer, offerOf } from './offers.js';

/** @param tables in the order of the offered commands */
export function fishScript(tables: readonly CommandTable[]): string {
  return `\
# Completes the command lines of qcow2c in fish. Made by 'qcow2c completion fish'.

# Whether the command is this one.
function __qcow2c_is
    set -l words (commandline -opc)
    test (count $words) -gt 1; and test $words[2] = $argv[1]
end

# Whether no word follows the command yet.
function __qcow2c_first_operand
    test (count (commandline -opc)) -eq 2
end

# Whether no argument is being typed after "=".
function __qcow2c_operand
    not string match -q -- '--*=*' (commandline -ct)
end

# Pairs for a list of -o, after the existing ones. Each argument is KEY=VALUE,VALUE...
function __qcow2c_pairs
    set -l list (commandline -ct | string replace -r '^(--[a-z-]+=|-[a-zA-Z]*?o)' '')
    set -l head (string match -r '^.*,' -- $list)
    for pair in $argv
        set -l key (string replace -r '=.*' '=' -- $pair)
        if not string match -q -- '*=*' (string replace -r '^.*,' '' -- $list)
            printf '%s%s\\n' "$head" $key
            continue
        end
        for value in (string replace -r '^[^=]*=' '' -- $pair | string split -n ,)
            printf '%s%s%s\\n' "$head" $key $value
        end
    end
end

complete -c qcow2c -f
complete -c qcow2c -n __fish_is_first_token -s V -l version -d 'print the version and the compression engines found'
complete -c qcow2c -n __fish_is_first_token -s h -l help -d 'print this help'
${tables.map(({ name, summary }) => `complete -c qcow2c -n __fish_is_first_token -a ${name} -d ${quote(summary)}\n`).join('')}\
${tables.map((table) => commandLines(table, tables)).join('')}`;
}

function commandLines(table: CommandTable, tables: readonly CommandTable[]): string {
  const lines = [...operandLines(table, tables), ...optionsOf(table).map(optionLine)];
  return `\n${lines.map((line) => `complete -c qcow2c -n '__qcow2c_is ${table.name}${line}\n`).join('')}`;
}

/** Each line starts inside the quotes of the condition. */
function operandLines({ operands }: CommandTable, tables: readonly CommandTable[]): string[] {
  if (operands === 'files') return ["; and __qcow2c_operand' -F"];
  if (operands === 'command') {
    return tables.map(({ name, summary }) => `; and __qcow2c_first_operand' -a ${name} -d ${quote(summary)}`);
  }
  return operands.length === 0 ? [] : [`; and __qcow2c_first_operand' -a ${quote(operands.join(' '))}`];
}

function optionLine(row: OptionRow): string {
  const names = row.flags.map((flag) =>
    flag.startsWith('--') ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`,
  );
  const offer = offerOf(row);
  const argument = offer === undefined ? '' : argumentOf(offer, row.bare === undefined);
  return `' ${names.join(' ')}${argument} -d ${quote(brief(row.help))}`;
}

function argumentOf(offer: Offer, required: boolean): string {
  const exclusive = required ? ' -x' : '';
  switch (offer.kind) {
    case 'file':
      return ' -r -F';
    case 'any':
      return exclusive;
    case 'words':
      return `${exclusive} -a ${quote(offer.words.join(' '))}`;
    case 'pairs': {
      const pairs = Object.entries(offer.keys).map(([key, words]) => `${key}=${words.join(',')}`);
      return `${exclusive} -a ${quote(`(__qcow2c_pairs ${pairs.join(' ')})`)}`;
    }
  }
}

function quote(text: string): string {
  return `'${text.replace(/['\\]/g, '\\$&')}'`;
}
