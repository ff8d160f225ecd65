# complete.fish: prints what fish offers for each command line on standard input. After "> LINE" a word a line, with
# its description behind a tab.
while read -l line
    echo "> $line"
    complete -C $line
end
