git init -q project && cd project
printf 'colour=red\nsize=small\n' > config.txt
git add . && commit -m 'Begin'
git switch -q -c feature
echo 'Helo, world!' > greet.txt && git add . && commit -m 'Add a greeting'
echo 'perhaps' > attempt.txt && git add . && commit -m 'Try something'
printf 'colour=green\nsize=small\n' > config.txt && git add . && commit -m 'Use green'
echo 'Hello, world!' > greet.txt && git add . && commit -m 'fixup! Add a greeting'
git switch -q main
printf 'colour=red\nsize=large\nspeed=fast\n' > config.txt
echo 'Larger and faster' > CHANGES && git add . && commit -m 'Larger and faster'
git switch -q feature
