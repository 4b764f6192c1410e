#!/usr/bin/env bash
# coming.sh FILE: bring Kubernetes up, and write into FILE how that ended: "up", "absent: why" or "broken: why".
set -uo pipefail
. "$(dirname "$0")/common.sh"

wrote=$("$HERE/kubernetes.sh" up 2>&1)
case $? in
    0) result=up ;;
    75) result="absent: $(tail -n 1 <<<"$wrote")" ;;
    *) result="broken: $(tail -n 20 <<<"$wrote")" ;;
esac
echo "$result" >"$1.part"
mv "$1.part" "$1"
