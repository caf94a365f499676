# tr, sort and uniq with two threads; awk makes the columns those of the others.
export LC_ALL=C
tr -s ' ' '\n' < "$1" | sort --parallel=2 -S 1G | uniq -c | awk '{print $2 "\t" $1}' > "$2/part"
