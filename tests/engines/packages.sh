#!/usr/bin/env bash
# Install the Debian packages that the engines need. Does nothing where that is not this script's to do.
set -euo pipefail
. "$(dirname "$0")/common.sh"

# A program, and the package that has it. A program that is there already, from wherever, is taken.
WANTED="
dockerd docker.io
docker docker.io
iptables-save iptables
debootstrap debootstrap
ip iproute2
bwrap bubblewrap
docker-registry docker-registry
etcd etcd-server
containerd containerd
ctr containerd
runc runc
podman podman
/usr/lib/cni/bridge containernetworking-plugins
conntrack conntrack
kubectl kubernetes-client
openssl openssl
pg_ctlcluster postgresql
/usr/games/stockfish stockfish
chromium chromium
chromium-headless-shell chromium-headless-shell
"
# Only to build Kubernetes.
BUILD="
go golang-go
rsync rsync
jq jq
dpkg-source dpkg-dev
gcc gcc
make make
/usr/include/stdio.h libc6-dev
"
[ -x "$CACHE/kubernetes/bin/kubelet" ] || WANTED=$WANTED$BUILD

missing=$(while read -r program package; do
    [ -z "$program" ] || have "$program" || [ -f "$program" ] || echo "$package"
done <<<"$WANTED" | sort -u | xargs)
[ -n "$missing" ] || exit 0
is_ours_to_set_up || cannot "not installed: $missing. Debian's packages of these names have it."
say "apt-get install $missing"
case $missing in *postgresql*)  # tests start servers of their own: no other is to be made and started
    mkdir -p /etc/postgresql-common
    grep -qs create_main_cluster /etc/postgresql-common/createcluster.conf ||
        echo 'create_main_cluster = false' >>/etc/postgresql-common/createcluster.conf ;;
esac
apt-get update -qq >&2
DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $missing >/dev/null
