# What the scripts of this folder share: where things are kept, and daemons that are started and ended by pid.
#
# Sourced, not run. What is slow to make (built programs, the base image, Docker's layers) stays in the cache; what
# belongs to one run (pid files, sockets, logs, cluster state) is in its folder `run/` and is removed at the end.

CACHE=${OPENENV_ENGINES_CACHE:-${HOME:?}/.cache/openenv-engines}
STATE=$CACHE/run
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

say() { printf '%s\n' "--- $*" >&2; }

# An engine that cannot be had on this machine: its tests will be skipped. Anything else that fails is an error.
cannot() { say "$*"; exit 75; }

have() { command -v "$1" >/dev/null; }

# Whether this script may install packages and start system daemons. With systemd, a package would start its own.
is_ours_to_set_up() { [ "$(id -u)" = 0 ] && [ -f /etc/debian_version ] && [ ! -d /run/systemd/system ]; }

# await SECONDS COMMAND...: run a command until it succeeds.
await() {
    local end=$((SECONDS + $1)); shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || { say "gave up waiting for: $*"; return 1; }
        sleep 0.1
    done
}

# When a process began, in clock ticks since boot; with the pid it names one process for ever.
born() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }

# start NAME COMMAND...: start a daemon in a session of its own, which Ctrl+C does not reach.
start() {
    local name=$1; shift
    mkdir -p "$STATE/pids" "$STATE/log"
    setsid "$@" >"$STATE/log/$name" 2>&1 </dev/null &
    echo "$! $(born $!)" >"$STATE/pids/$name"
}

# runs NAME: whether the daemon that `start` has started is still there.
runs() {
    local pid birth
    read -r pid birth 2>/dev/null <"$STATE/pids/$1" && [ -n "$birth" ] && [ "$(born "$pid")" = "$birth" ]
}

# stop NAME [SECONDS]: end it, in the hard way if it has not ended by itself in that time.
stop() {
    local pid
    if runs "$1"; then
        read -r pid _ <"$STATE/pids/$1"
        kill "$pid" 2>/dev/null || true
        await "${2:-20}" gone "$1" || { kill -9 "$pid" 2>/dev/null || true; await 10 gone "$1" || true; }
    fi
    rm -f "$STATE/pids/$1"
}

# A process that only waits to be collected has ended.
gone() {
    local pid
    ! runs "$1" || { read -r pid _ <"$STATE/pids/$1"; grep -q '^State:\s*Z' "/proc/$pid/status"; }
}

# Remove what one of the scripts has added to the packet filter, told by patterns, and leave the rest as it is.
forget_rules() {
    have iptables-save || return 0
    iptables-save 2>/dev/null | grep -v "$@" | iptables-restore 2>/dev/null || true
}

unmount_below() {
    awk -v folder="$1/" 'index($2, folder) == 1 { print $2 }' /proc/self/mounts | sort -r | xargs -r -n1 umount -l
}
