git init -q project && cd project
printf 'coffee 2.50\ntea 2.90\ncake 4.20\n' > prices.txt
git add . && commit -m 'The prices'
git switch -q -c autumn
mkdir recipes && echo 'One pumpkin, two onions.' > recipes/soup.txt
printf 'coffee 2.60\ntea 3.20\ncake 4.20\npumpkin soup 5.50\n' > prices.txt
git add . && commit -m 'What autumn brings'
git switch -q main
printf 'filter coffee 2.80\ntea 3.00\ncake 3.90\n' > prices.txt
echo 'Monday to Friday, 8 to 6' > hours.txt
git add . && commit -m 'New prices, and opening hours'
