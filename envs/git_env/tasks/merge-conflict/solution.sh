git merge autumn
printf 'filter coffee 2.80\ntea 3.20\ncake 3.90\npumpkin soup 5.50\n' > prices.txt
git add prices.txt && git commit -m 'Merge autumn' && git log --oneline --graph
