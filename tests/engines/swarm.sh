#!/usr/bin/env bash
# swarm.sh up|down: a swarm of two nodes. The second is a Docker engine of its own in a network namespace of its own.
#
# Up prints the address of the second node's engine. The namespace is entered by nsenter: `ip netns exec` would hide
# the mounts of the control groups.
set -euo pipefail
. "$(dirname "$0")/common.sh"

NODE=$STATE/swarm
SPACE=openenv-w1
MANAGER=10.99.0.1
WORKER=10.99.0.2
worker() { docker -H "unix://$NODE/docker.sock" "$@"; }

up() {
    docker info >/dev/null 2>&1 || cannot "no swarm: there is no Docker"
    is_ours_to_set_up || cannot "no swarm: the second node takes root on a Debian without systemd"
    case $(docker info --format '{{.Swarm.LocalNodeState}}') in
        inactive) ;;
        *) cannot "no swarm: this Docker is in one already, which is left alone" ;;
    esac
    mkdir -p "$NODE"
    echo "nameserver 127.0.0.1" >"$NODE/resolv.conf"
    ip netns add "$SPACE"
    ip link add oe-w1 type veth peer name eth0 netns "$SPACE"
    ip addr add "$MANAGER/24" dev oe-w1
    ip link set oe-w1 up
    ip -n "$SPACE" addr add "$WORKER/24" dev eth0
    ip -n "$SPACE" link set lo up
    ip -n "$SPACE" link set eth0 up
    ip -n "$SPACE" route add default via "$MANAGER"
    start swarm-worker nsenter "--net=/var/run/netns/$SPACE" unshare --mount --uts sh -c "
        hostname openenv-w1
        mount --bind '$NODE/resolv.conf' /etc/resolv.conf
        mount -t tmpfs none /run
        exec dockerd --data-root '$NODE/data' -H 'unix://$NODE/docker.sock'"
    await 60 worker info || { tail -n 20 "$STATE/log/swarm-worker" >&2; exit 1; }
    touch "$STATE/swarm.made"
    docker swarm init --advertise-addr "$MANAGER" >/dev/null
    worker swarm join --token "$(docker swarm join-token -q worker)" "$MANAGER:2377" >/dev/null
    await 60 two_nodes
    say "a swarm of two nodes is up"
    echo "unix://$NODE/docker.sock"
}

two_nodes() { [ "$(docker node ls --format '{{.Status}}' | grep -c Ready)" = 2 ]; }

down() {
    if [ -f "$STATE/swarm.made" ] && docker info >/dev/null 2>&1; then
        docker service ls -q | xargs -r docker service rm >/dev/null 2>&1 || true
        timeout 30 docker -H "unix://$NODE/docker.sock" swarm leave >/dev/null 2>&1 || true
        timeout 60 docker swarm leave --force >/dev/null 2>&1 || true
    fi
    rm -f "$STATE/swarm.made"
    stop swarm-worker 30
    if ip netns list 2>/dev/null | grep -q "^$SPACE\b"; then
        ip netns pids "$SPACE" | xargs -r kill -9 2>/dev/null || true  # what a killed engine left in our namespace
        ip netns del "$SPACE"
    fi
    ip link del oe-w1 2>/dev/null || true
    unmount_below "$NODE"
    rm -rf "$NODE"
}

"$1"
