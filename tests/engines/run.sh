#!/usr/bin/env bash
# run.sh [--contract | PYTEST ARGUMENTS]: start the engines that this machine can have, run the tests that need them, end
# them. `--contract` runs the files only that hold each provider to the contract, which takes a quarter of the time.
#
# An engine that cannot be had here is told, and its tests are skipped. One that should start and does not makes the
# run fail. What this script has not started it does not end. Ended is also what an earlier run has left behind.
#
#   OPENENV_ENGINES_CACHE    where slow things are kept (~/.cache/openenv-engines): a cold run takes up to 20 minutes
#                            for the base image and the build of Kubernetes, the next ones start all in a minute
#   OPENENV_ENGINES_KEEP=1   leave the engines running; `run.sh --down` ends them
set -euo pipefail
shopt -s extglob
. "$(dirname "$0")/common.sh"
cd "$HERE/../.."

LONGEST_S=2700  # of the tests
COMING=$STATE/kubernetes.coming
broken=

down() {
    stop_build
    "$HERE/kubernetes.sh" down || true
    "$HERE/swarm.sh" down || true
    "$HERE/docker.sh" down || true
    rm -rf "$STATE/pids" "$COMING"
}

# The build runs compilers of its own, all in the session that `start` gave it.
stop_build() {
    local pid
    if runs kubernetes-up; then
        read -r pid _ <"$STATE/pids/kubernetes-up"
        kill -TERM -- "-$pid" 2>/dev/null || true
    fi
    stop kubernetes-up
}

# bring_up NAME COMMAND...: the engine, or why not; exit status 75 says that it cannot be had on this machine.
bring_up() {
    local name=$1 status=0; shift
    "$@" || status=$?
    [ $status = 0 ] || [ $status = 75 ] || { say "$name did not start"; broken="$broken $name"; }
    return $status
}

mkdir -p "$CACHE"
exec 9>"$CACHE/lock"
flock -n 9 || { say "another run uses $CACHE"; exit 1; }

down 9>&-
[ "${1:-}" != --down ] || exit 0
mkdir -p "$STATE"
trap 'exit 130' INT TERM
[ -n "${OPENENV_ENGINES_KEEP:-}" ] || trap 'trap "" INT TERM; say "ending the engines"; down 9>&-' EXIT

# Daemons must not inherit the lock (9>&-).
bring_up packages "$HERE/packages.sh" 9>&- || true
# Kubernetes comes up, and is built if need be, while others are tested: its tests are the last ones and wait for it.
start kubernetes-up "$HERE/coming.sh" "$COMING" 9>&-
bring_up Docker "$HERE/docker.sh" up 9>&- || true
worker=$(bring_up Swarm "$HERE/swarm.sh" up 9>&-) && export OPENENV_TEST_SWARM_WORKER=$worker || [ $? = 75 ] || broken="$broken Swarm"
export OPENENV_TEST_KUBERNETES_COMING=$COMING
export OPENENV_TEST_KUBECONFIG=$STATE/kubernetes/admin.conf
export OPENENV_TEST_CONTAINERD=$STATE/kubernetes/containerd.sock

status=0
# What fails is tried once more, and the summary tells: engines have bad moments that are not ours.
run_tests() {
    local ended=0
    timeout --foreground --signal=INT --kill-after=120 $LONGEST_S \
        "${PYTHON:-python3}" -m pytest -m engine --reruns 1 -r fEsR "$@" 9>&- || ended=$?
    [ $ended = 0 ] || [ $ended = 5 ] || status=$ended  # 5: there is none of that kind
}

if [ "${1:-}" = --contract ]; then
    shift
    run_tests tests/engines/test_{aca,daytona,docker,docker_podman,modal,ray,swarm}.py "$@"
    run_tests -n 4 tests/engines/test_kubernetes.py "$@"
elif [ $# -gt 0 ]; then
    run_tests tests/engines "$@"
else
    run_tests tests/engines --ignore-glob='*/test_kubernetes*'
    # Pods take long to come and go and little to wait for, each worker has a namespace of its own.
    # (What is named on the command line pytest does not ignore: the glob itself leaves the last file out.)
    run_tests -n 4 tests/engines/test_kubernetes!(_ending).py
    run_tests tests/engines/test_kubernetes_ending.py  # the API itself is killed there
fi
case $(cat "$COMING" 2>/dev/null) in broken*) broken="$broken Kubernetes" ;; esac
[ -z "$broken" ] || { say "did not start:$broken; what they wrote is in $STATE/log"; status=1; }
exit $status
