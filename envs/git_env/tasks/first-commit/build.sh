git init -q project && cd project
echo '# Counts words' > README.md
git add . && commit -m 'Begin'
mkdir src build
printf 'import sys\n\nfrom words import count\n\nprint(count(sys.stdin.read()))\n' > src/main.py
printf 'def count(text):\n    return len(text.split())\n' > src/words.py
head -c 2000 /dev/zero > build/main.bin
echo 'buy milk' > notes.tmp
echo 'more milk' > src/more.tmp
