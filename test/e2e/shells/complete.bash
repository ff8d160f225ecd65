# complete.bash SCRIPT: prints what the script offers in bash, for each case on standard input: a command line and,
# behind tabs, the words that bash makes of it. After "> LINE" a word a line.
source "$1"

files=
# Works only while readline completes; here it tells whether readline would complete a file's name by itself.
compopt() {
  case "$*" in
    '-o default') files=yes ;;
    '+o default') files= ;;
  esac
}

while IFS=$'\t' read -r COMP_LINE words; do
  IFS=$'\t' read -r -a COMP_WORDS <<<"$words"
  [[ $COMP_LINE != *' ' ]] || COMP_WORDS+=('')
  COMP_POINT=${#COMP_LINE} COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
  _qcow2c
  word=${COMP_WORDS[COMP_CWORD]}
  printf '> %s\n' "$COMP_LINE"
  ((${#COMPREPLY[@]} == 0)) || printf '%s\n' "${COMPREPLY[@]}"
  [[ ! $files ]] || compgen -f -- "${word#=}"
done
complete -p qcow2c >&2
