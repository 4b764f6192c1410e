git bisect start main v1
git bisect run sh check.sh
git tag first-bad refs/bisect/bad
git bisect reset
