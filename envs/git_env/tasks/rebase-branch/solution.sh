export GIT_SEQUENCE_EDITOR="sed -i '/Try something/s/^pick/drop/'"
git rebase -i --autosquash main
printf 'colour=green\nsize=large\nspeed=fast\n' > config.txt
git add config.txt && git rebase --continue
git log --oneline --graph --all
