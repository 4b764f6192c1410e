git branch rescued 'HEAD@{1}' && git switch rescued
for blob in $(git fsck --lost-found --no-progress | awk '$2 == "blob" { print $3 }'); do
    case $(git cat-file -p $blob) in
        'Chapter 5'*) git cat-file -p $blob > chapter5.txt ;;
    esac
done
git add chapter5.txt && git commit -m 'Chapter 5' && git log --oneline
