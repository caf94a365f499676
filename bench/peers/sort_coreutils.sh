export LC_ALL=C
sort --parallel=2 -S 1G -T "$2" -o "$2/part" "$1"
