git init -q project && cd project
for n in 1 2 3 4; do
    printf 'Chapter %s\n' $n > chapter$n.txt
    case $n in
        1) echo 'It was the last ship of the year.' ;;
        2) echo 'Nobody came to meet them.' ;;
        3) echo 'The key did not fit.' ;;
        4) echo 'Then the letter came.' ;;
    esac >> chapter$n.txt
    git add . && commit -m "Chapter $n"
done
printf 'Chapter 5\nThe lighthouse was dark, and so was the sea.\n' > chapter5.txt
echo 'A list of things to buy' > list.txt
git add . && git reset -q --hard HEAD~2
