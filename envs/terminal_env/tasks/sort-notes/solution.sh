find inbox -type f -print0 | while IFS= read -r -d '' note; do
    IFS= read -r first < "$note"
    case $first in
        "Date: "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9])
            day=${first#Date: }
            month=${day#*-}
            folder=archive/${day%%-*}/${month%-*} ;;
        *)
            folder=archive/undated ;;
    esac
    mkdir -p "$folder" && mv -- "$note" "$folder/"
done
find archive -type f
