git init -q --bare remote.git
git clone -q remote.git first 2>/dev/null && cd first
printf '6 x 7 = 42\n7 x 8 = 54\n8 x 8 = 64\n' > table.txt
git add . && commit -m 'A table'
echo 'Learn it by heart.' > README && git add . && commit -m 'What to do with it'
git push -q origin main && cd .. && rm -r first
cat > colleague.sh <<'END'
# What a colleague does, somewhere else.
cd "$(dirname "$0")" && git clone -q remote.git theirs && cd theirs || exit
echo '9 x 9 = 81' >> table.txt
GIT_AUTHOR_NAME=colleague GIT_AUTHOR_EMAIL=colleague@localhost git commit -q -a -m 'One more line'
git push -q origin main && cd .. && rm -rf theirs && echo 'The colleague has pushed.'
END
