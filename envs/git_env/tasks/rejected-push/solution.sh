git clone -q remote.git project && cd project
sed -i 's/^7 x 8 = .*/7 x 8 = 56/' table.txt && git commit -q -a -m 'Correct the table'
sh ../colleague.sh
git push origin main || git pull --no-rebase --no-edit origin main || true
printf '6 x 7 = 42\n7 x 8 = 56\n8 x 8 = 64\n9 x 9 = 81\n' > table.txt
git diff --quiet || git commit -q -a --no-edit
git push origin main && git tag v2 && git push origin v2 && git log --oneline --graph
