printf 'build/\n*.tmp\n' > .gitignore
git add .gitignore src && git commit -m 'Add the program' && git status --short --ignored
