cat > rotate.sh <<'END'
folder=$1 count=$2
case $count in
    '' | *[!0-9]* | 0) exit 2 ;;
esac
[ -d "$folder" ] || exit 2
cd -- "$folder" || exit 2
day='[0-9]\{4\}-[0-9]\{2\}-[0-9]\{2\}'
backups() {
    for file in *.dump; do
        [ -f "$file" ] && printf '%s\n' "$file"
    done | grep "^[a-z]\{1,\}-$day\.dump$"
}
backups | LC_ALL=C sort -r | awk -v count="$count" '{ split($0, part, "-"); if (++seen[part[1]] > count) print }' |
    LC_ALL=C sort | while IFS= read -r file; do
        rm -- "$file" && printf '%s\n' "$file"
    done
exit 0
END
cp -r backups trial && sh rotate.sh trial 1 && rm -r trial
