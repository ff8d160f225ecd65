/** The completion script for bash 4 and later; it needs only bash. */
import { type CommandTable, optionsOf } from '../options/option-table.js';
import { type Offer, offerOf } from './offers.js';

/** @param tables in the order of the offered commands */
export function bashScript(tables: readonly CommandTable[]): string {
  const names = tables.map(({ name }) => name);
  const cases = (body: (table: CommandTable) => string) =>
    tables.map((table) => `    ${table.name}) ${body(table)} ;;\n`).join('');
  return `\
# Completes the command lines of qcow2c in bash. Made by 'qcow2c completion bash'.

_qcow2c_options() { # COMMAND
  case $1 in
${cases((table) => `printf '%s\\n' ${flagsOf(table).join(' ')}`)}\
  esac
}

# Sets kind and offers for the operands, as _qcow2c_argument does.
_qcow2c_operands() { # COMMAND
  case $1 in
${cases(({ operands }) => {
  if (operands === 'files') return 'kind=file offers=';
  return `kind=words offers='${(operands === 'command' ? names : operands).join(' ')}'`;
})}\
  esac
}

# Sets the kind of an option's argument (words, pairs, file or any), what is offered for it, and whether it can
# be the next word. Fails when the option has none.
_qcow2c_argument() { # COMMAND OPTION
  kind= offers= next=yes
  case $1:$2 in
${argumentCases(tables)}\
    *) return 1 ;;
  esac
}

# Sets option to the word's option with an argument, and value to the part of the argument in the word.
# Fails if there is none.
_qcow2c_option_with_argument() { # COMMAND WORD
  local at
  case $2 in
    --*=*) option=\${2%%=*} value=\${2#*=} ;;
    --*) option=$2 value= ;;
    *)
      for ((at = 1; at < \${#2}; at++)); do
        option=-\${2:at:1} value=\${2:at + 1}
        _qcow2c_argument "$1" "$option" && return 0
      done
      return 1
      ;;
  esac
  _qcow2c_argument "$1" "$option"
}

# Offers the words that begin with the value, each preceded by the head.
_qcow2c_offer() { # HEAD VALUE WORD...
  local head=$1 value=$2 word
  shift 2
  for word; do
    [[ $word != "$value"* ]] || COMPREPLY+=("\${head}$word")
  done
}

# Offers completions according to kind and offers.
_qcow2c_offer_argument() { # HEAD VALUE
  local pair item=\${2##*,}
  case $kind in
    words) _qcow2c_offer "$1" "$2" $offers ;;
    file) compopt -o default 2>/dev/null ;;
    pairs)
      local head=$1\${2%"$item"}
      [[ $item == *=* ]] || compopt -o nospace 2>/dev/null
      for pair in $offers; do
        if [[ $item != *=* ]]; then
          _qcow2c_offer "$head" "$item" "\${pair%%=*}="
        elif [[ \${item%%=*} == "\${pair%%=*}" ]]; then
          pair=\${pair#*=}
          _qcow2c_offer "$head\${item%%=*}=" "\${item#*=}" \${pair//,/ }
        fi
      done
      ;;
  esac
}

_qcow2c() {
  local IFS=$' \\t\\n' words=() word at rest=$COMP_LINE command current kept
  local kind offers next option value operands=0 ended= pending=
  COMPREPLY=()
  compopt +o default 2>/dev/null

  # Bash has split the words at "=" and ":"; parts of one word have no blanks between them.
  for ((at = 0; at <= COMP_CWORD; at++)); do
    word=\${COMP_WORDS[at]}
    if ((at == 0)) || [[ $rest == [[:space:]]* ]]; then
      words+=("$word")
    else
      words[\${#words[@]} - 1]+=$word
    fi
    rest=\${rest#"\${rest%%[![:space:]]*}"}
    rest=\${rest#"$word"}
  done
  command=\${words[1]} current=\${words[\${#words[@]} - 1]}

  for ((at = 2; at < \${#words[@]} - 1; at++)); do
    word=\${words[at]}
    if [[ $pending ]]; then
      pending=
    elif [[ ! $ended && $word == -- ]]; then
      ended=yes
    elif [[ ! $ended && $word == -?* ]]; then
      _qcow2c_option_with_argument "$command" "$word" && [[ $next && ! $value && $word != *= ]] && pending=$option
    else
      operands=$((operands + 1))
    fi
  done

  if ((\${#words[@]} == 2)); then
    case $current in
      -*) _qcow2c_offer '' "$current" -V --version -h --help ;;
      *) _qcow2c_offer '' "$current" ${names.join(' ')} ;;
    esac
  elif [[ $pending ]]; then
    _qcow2c_argument "$command" "$pending"
    _qcow2c_offer_argument '' "$current"
  elif [[ ! $ended && $current == -* ]]; then
    if _qcow2c_option_with_argument "$command" "$current" && [[ $value || $current == --*= ]]; then
      _qcow2c_offer_argument "\${current%"$value"}" "$value"
    elif [[ $current != *=* ]]; then
      _qcow2c_offer '' "$current" $(_qcow2c_options "$command")
    fi
  else
    _qcow2c_operands "$command"
    [[ $kind == file || $operands -eq 0 ]] && _qcow2c_offer_argument '' "$current"
  fi

  # Bash inserts the words after the last "=" or ":", if it has split there.
  word=\${COMP_WORDS[COMP_CWORD]}
  [[ $word == *[!=:]* ]] || word=
  kept=\${current%"$word"}
  COMPREPLY=("\${COMPREPLY[@]#"$kept"}")
}

complete -o default -F _qcow2c qcow2c
`;
}

function flagsOf(table: CommandTable): string[] {
  return optionsOf(table).flatMap(({ flags }) => flags);
}

/** One branch for each kind of argument, with all options of that kind. */
function argumentCases(tables: readonly CommandTable[]): string {
  const branches = new Map<string, string[]>();
  for (const table of tables) {
    for (const row of optionsOf(table)) {
      const offer = offerOf(row);
      if (offer === undefined) continue;
      const settings = `${settingsOf(offer)}${row.bare === undefined ? '' : ' next='}`;
      const patterns = row.flags.map((flag) => `${table.name}:${flag}`).join(' | ');
      branches.set(settings, [...(branches.get(settings) ?? []), patterns]);
    }
  }
  return [...branches]
    .map(([settings, patterns]) => `    ${patterns.join(' | \\\n      ')})\n      ${settings} ;;\n`)
    .join('');
}

function settingsOf(offer: Offer): string {
  switch (offer.kind) {
    case 'words':
      return `kind=words offers='${offer.words.join(' ')}'`;
    case 'pairs': {
      const pairs = Object.entries(offer.keys).map(([key, values]) => `${key}=${values.join(',')}`);
      return `kind=pairs offers='${pairs.join(' ')}'`;
    }
    default:
      return `kind=${offer.kind}`;
  }
}
