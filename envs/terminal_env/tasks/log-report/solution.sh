cat logs/*.log | wc -l | tr -d ' ' > requests.txt
cat logs/*.log | tr -d '"' | awk '$5 >= 500 { print $4 }' | LC_ALL=C sort -u > errors.txt
cat logs/*.log | awk '{ sent[$1] += $6 } END { for (one in sent) print one, sent[one] }' | sort -k2 -n | tail -1 > busiest.txt
