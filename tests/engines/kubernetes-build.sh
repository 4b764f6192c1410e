#!/usr/bin/env bash
# Build Kubernetes 1.20 from Debian's source package, which brings all it needs along. 5 to 7 minutes, 3 GB meanwhile.
#
# No package has the server. Kept are the programs, in the cache's kubernetes/bin; kubelet is put there last, so its
# presence says that all are there.
set -euo pipefail
. "$(dirname "$0")/common.sh"

PLACE=$CACHE/kubernetes
WORK=$PLACE/build
PROGRAMS="kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubelet"

[ ! -x "$PLACE/bin/kubelet" ] || exit 0
rm -rf "$WORK"
mkdir -p "$WORK"/{parts,lists/partial} "$PLACE/bin"
cd "$WORK"

# The machine's own lists of packages are left alone: source packages get lists here.
if [ -f /etc/apt/sources.list.d/debian.sources ]; then
    sed 's/^Types: .*/Types: deb-src/' /etc/apt/sources.list.d/debian.sources >parts/source.sources
else
    sed -n 's/^deb /deb-src /p' /etc/apt/sources.list >parts/source.list
fi
apt_here() {
    apt-get -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$WORK/parts" -o Dir::State::lists="$WORK/lists" \
        -o APT::Sandbox::User=root -qq "$@"
}
apt_here update
apt_here source --download-only kubernetes
dpkg-source --no-check -x kubernetes_*.dsc src
version=$(sed -n 's/^Version: .*really\([0-9.]*\)-.*/\1/p' kubernetes_*.dsc | head -1)
cat >version <<END
KUBE_GIT_COMMIT='debian'
KUBE_GIT_TREE_STATE='archive'
KUBE_GIT_VERSION='v$version'
KUBE_GIT_MAJOR='1'
KUBE_GIT_MINOR='20'
END

cd src
mkdir -p .go/src/k8s.io
ln -sfn ../../.. .go/src/k8s.io/kubernetes
export GOPATH=$PWD/.go CGO_ENABLED=0 HOME=$WORK/home GOPROXY=off KUBE_GIT_VERSION_FILE=$WORK/version
make GOLDFLAGS="-s -w" WHAT="$(printf 'cmd/%s ' $PROGRAMS)"
gcc -Os -static -DVERSION=ci -o "$PLACE/bin/pause" "$(find build/pause -name pause.c | head -1)"
for program in $PROGRAMS; do
    cp "_output/bin/$program" "$PLACE/bin/$program.part"
    mv "$PLACE/bin/$program.part" "$PLACE/bin/$program"
done
cd "$PLACE"
rm -rf "$WORK"
