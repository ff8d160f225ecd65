# complete.zsh COMMANDS CASES OUTPUT: runs COMMANDS, which include compinit, in a zsh on a pseudo-terminal. Then it
# writes to OUTPUT what zsh offers for each command line in the file CASES: a line "> COMMAND LINE", and for each offered
# word a line with the word, a tab and its description.
zmodload zsh/zpty

print -r -- "$1" >$3.rc
cat >>$3.rc <<'RC'
zstyle ':completion:*' list-grouped false
COLUMNS=300
# Also writes each added match to OUTPUT.
compadd() {
  if [[ ${@[1,(i)(-|--)]} == *-(O|A|D)\ * ]]; then
    builtin compadd "$@"
    return
  fi
  local -a hits shown
  (( $@[(I)-d] )) && shown=("${(@P)@[$@[(i)-d] + 1]}")
  builtin compadd -A hits -D shown "$@"
  local at
  for (( at = 1; at <= $#hits; at++ )); do
    print -r -- "$hits[at]"$'\t'"${${shown[at]-}#* -- }" >>$OUTPUT
  done
  builtin compadd "$@"
}
nothing-shown() { compstate[list]= compstate[insert]= }
comppostfuncs=(nothing-shown)
all-cases() {
  local line
  while IFS= read -r line; do
    print -r -- "> $line" >>$OUTPUT
    BUFFER=$line CURSOR=$#line
    comppostfuncs=(nothing-shown)
    zle complete-word
  done <$CASES
  BUFFER=exit
  zle accept-line
}
zle -N zle-line-init all-cases
RC

: >$3
zpty shell "CASES=${(q)2} OUTPUT=${(q)3} zsh -f -i"
zpty -w shell "source ${(q)3}.rc"
while zpty -r shell said; do :; done
cat $3
