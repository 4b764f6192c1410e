#!/usr/bin/env bash
# docker.sh up|down: a Docker engine with a base image. One that is there already is used, and left as it is.
set -euo pipefail
. "$(dirname "$0")/common.sh"

BASE=python:3.11-slim
DATA=$CACHE/docker

up() {
    if docker info >/dev/null 2>&1; then
        say "Docker runs already; it will be left running"
    else
        is_ours_to_set_up || cannot "no Docker: it does not run, and starting it is not this script's to do here"
        have dockerd || cannot "no Docker: dockerd is not installed"
        mkdir -p "$STATE"
        iptables-save 2>/dev/null | grep '^:FORWARD' >"$STATE/docker.forward" || true
        rm -rf "$DATA/swarm"  # of a run that was killed, whose other node is gone
        # Its shims have the exec-root on their command line, by which they are known to be ours. The paths that
        # leave a cloud often take less than 1500 bytes.
        start dockerd dockerd --data-root "$DATA" --exec-root "$STATE/docker" --pidfile "$STATE/docker.pid" --mtu 1400
        await 60 docker info || { tail -n 20 "$STATE/log/dockerd" >&2; exit 1; }
        say "Docker started"
    fi
    docker image inspect "$BASE" >/dev/null 2>&1 || base_image
}

# The registry's image where there is a registry, else one of the same shape made from Debian's packages.
base_image() {
    if ! runs dockerd && timeout 120 docker pull -q "$BASE" >/dev/null 2>&1; then
        return
    fi
    is_ours_to_set_up || cannot "no Docker: the image $BASE is not there and could not be pulled"
    local root=$CACHE/base tar=$CACHE/base.tar
    if [ ! -f "$tar" ]; then
        say "making the base image with debootstrap (85 s)"
        rm -rf "$root"
        mkdir -p "$CACHE"
        debootstrap --variant=minbase --include=python3,python3-venv,python3-pip,ca-certificates,curl \
            bookworm "$root" >"$CACHE/debootstrap.log" 2>&1 || { tail "$CACHE/debootstrap.log" >&2; exit 1; }
        # A company's own authorities are in the host's bundle; pip in a build has to know them as well.
        cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
        ln -sf python3 "$root/usr/bin/python"
        rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/usr/lib/python3*/EXTERNALLY-MANAGED
        tar -C "$root" -cf "$tar.part" .
        mv "$tar.part" "$tar"
        rm -rf "$root"
    fi
    local bundle=/etc/ssl/certs/ca-certificates.crt
    docker import -c 'CMD ["python3"]' -c "ENV PIP_CERT=$bundle SSL_CERT_FILE=$bundle PIP_BREAK_SYSTEM_PACKAGES=1" \
        "$tar" "$BASE" >/dev/null
}

down() {
    [ -f "$STATE/pids/dockerd" ] || return 0
    if runs dockerd; then
        docker ps -aq | xargs -r docker rm -fv >/dev/null 2>&1 || true
        docker network prune -f >/dev/null 2>&1 || true
    fi
    stop dockerd 30
    for process in /proc/[0-9]*; do  # shims outlive a dockerd that was killed
        if tr '\0' ' ' 2>/dev/null <"$process/cmdline" | grep -q "^[^ ]*containerd-shim.* $STATE/docker/"; then
            kill -9 "${process#/proc/}" 2>/dev/null || true
        fi
    done
    unmount_below "$STATE/docker"
    unmount_below "$DATA"
    for bridge in docker0 docker_gwbridge; do ip link del "$bridge" 2>/dev/null || true; done
    forget_rules -e DOCKER -e docker0 -e docker_gwbridge -e '172\.1[78]\.0\.0'
    case $(cat "$STATE/docker.forward" 2>/dev/null) in *ACCEPT*|'') iptables -P FORWARD ACCEPT 2>/dev/null || true ;; esac
    rm -rf "$STATE/docker" "$STATE/docker.forward" "$STATE/docker.pid"
    say "Docker ended"
}

"$1"
