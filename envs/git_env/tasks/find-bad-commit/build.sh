git init -q project && cd project
cat > check.sh <<'END'
# Succeeds if the program adds as it should; 125 says that it does not start at all.
sum=$(sh add.sh 19 23) || exit 125
test "$sum" = 42
END
echo 'echo $(($1 + $2))' > add.sh
git add . && commit -m 'Begin' && git tag v1
for n in $(seq 1 60); do
    case $n in
        31) echo 'exit 1 # for now' > add.sh ;;
        33) echo 'echo $(($2 + $1))' > add.sh ;;
        44) echo 'echo $(($2 - -$1 + 0 * $1 + ($1 > 9)))' > add.sh ;;
        52) echo 'echo $(($1 + $2 + ($1 > 9)))' > add.sh ;;
    esac
    echo "Note $n" >> notes.txt
    git add . && commit -m "Change $n"
done
