#!/usr/bin/env bash
# kubernetes.sh up|down: a Kubernetes node of this machine's own: etcd, the control plane, containerd and a kubelet.
#
# Everything it has is in the run's folder: certificates, the cluster's state, containerd's images. Pods reach
# addresses, not names (there is no cluster DNS), and images are given to containerd, not pulled.
set -euo pipefail
. "$(dirname "$0")/common.sh"

BIN=$CACHE/kubernetes/bin
NODE=$STATE/kubernetes
PODS=10.244.0
CGROUP=/openenv-engines
# Sysctls that the kubelet and kube-proxy set.
TUNED="kernel.panic kernel.panic_on_oops vm.overcommit_memory net.ipv4.conf.all.route_localnet"
in_containerd() { ctr -a "$NODE/containerd.sock" -n k8s.io "$@"; }

up() {
    is_ours_to_set_up || cannot "no Kubernetes: a node takes root on a Debian without systemd"
    have etcd && have containerd && have kubectl || cannot "no Kubernetes: etcd, containerd or kubectl is not installed"
    if pgrep -x kubelet >/dev/null; then
        cannot "no Kubernetes: this machine is a node already, and two kubelets would remove each other's pods"
    fi
    nice "$HERE/kubernetes-build.sh" >"$CACHE/kubernetes-build.log" 2>&1 \
        || { tail -n 20 "$CACHE/kubernetes-build.log" >&2; exit 1; }
    export PATH=$BIN:$PATH KUBECONFIG=$NODE/admin.conf
    mkdir -p "$NODE"/{certificates,cni}
    cd "$NODE"
    # shellcheck disable=SC2086
    sysctl $TUNED >sysctls
    [ -e /var/log/pods ] || touch made-pod-logs
    address=$(hostname -I | cut -d' ' -f1)
    control_plane
    node
    await 60 ready || { tail -n 20 "$STATE"/log/kube{let,-apiserver} >&2; exit 1; }
    say "a Kubernetes node is up"
}

ready() { kubectl get node n1 | grep -q ' Ready'; }

control_plane() {
    openssl genrsa -out service-accounts.key 2048 2>/dev/null
    local token
    token=$(openssl rand -hex 16)
    (umask 077; echo "$token,admin,admin,system:masters" >tokens.csv)
    (umask 077; cat >admin.conf <<END
apiVersion: v1
kind: Config
clusters: [{name: engine, cluster: {server: "https://127.0.0.1:6443", insecure-skip-tls-verify: true}}]
users: [{name: admin, user: {token: $token}}]
contexts: [{name: engine, context: {cluster: engine, user: admin}}]
current-context: engine
END
)
    start etcd etcd --data-dir "$NODE/etcd" --unsafe-no-fsync \
        --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
        --listen-peer-urls http://127.0.0.1:2380
    # Jobs that are removed some time after their end are a feature that 1.20 has to be asked for.
    start kube-apiserver kube-apiserver --etcd-servers=http://127.0.0.1:2379 --cert-dir="$NODE/certificates" \
        --secure-port=6443 --advertise-address="$address" --token-auth-file=tokens.csv --authorization-mode=Node,RBAC \
        --service-cluster-ip-range=10.96.0.0/16 --allow-privileged=true --feature-gates=TTLAfterFinished=true \
        --kubelet-preferred-address-types=InternalIP --service-account-issuer=https://kubernetes.default.svc \
        --service-account-key-file=service-accounts.key --service-account-signing-key-file=service-accounts.key
    await 60 kubectl get --raw /readyz || { tail -n 20 "$STATE/log/kube-apiserver" >&2; exit 1; }
    start kube-controller-manager kube-controller-manager --kubeconfig admin.conf --leader-elect=false \
        --service-account-private-key-file=service-accounts.key --root-ca-file="$NODE/certificates/apiserver.crt" \
        --use-service-account-credentials=false --feature-gates=TTLAfterFinished=true
    start kube-scheduler kube-scheduler --kubeconfig admin.conf --leader-elect=false
}

node() {
    cat >containerd.toml <<END
version = 2
root = "$NODE/containerd"
state = "$NODE/containerd-state"
[grpc]
  address = "$NODE/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/openenv-tests/pause:1"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$NODE/cni"
END
    cat >cni/10-engine.conflist <<END
{"cniVersion": "0.4.0", "name": "engine", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true, "ipam": {
    "type": "host-local", "ranges": [[{"subnet": "$PODS.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}],
    "dataDir": "$NODE/addresses"}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
END
    for hierarchy in /sys/fs/cgroup/*/; do  # the kubelet wants its root to be there
        mkdir -p "$hierarchy$CGROUP"
        for file in cpuset.cpus cpuset.mems; do  # a new cpuset has none, and takes no process
            [ ! -f "$hierarchy/$file" ] || cat "$hierarchy/$file" >"$hierarchy$CGROUP/$file"
        done
    done
    start containerd containerd -c containerd.toml
    await 30 in_containerd version
    pause_image | in_containerd images import - >/dev/null
    cat >kubelet.yaml <<END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
cgroupDriver: cgroupfs
cgroupRoot: $CGROUP
failSwapOn: false
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%}
imageGCHighThresholdPercent: 100
podPidsLimit: 100
resolvConf: /etc/resolv.conf
END
    start kubelet kubelet --config=kubelet.yaml --kubeconfig=admin.conf --root-dir="$NODE/kubelet" \
        --cert-dir="$NODE/kubelet-certificates" --container-runtime=remote --hostname-override=n1 \
        --container-runtime-endpoint="unix://$NODE/containerd.sock" --node-ip="$address"
    cat >kube-proxy.yaml <<END
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: iptables
clientConnection: {kubeconfig: $NODE/admin.conf}
hostnameOverride: n1
conntrack: {maxPerCore: 0, min: 0, tcpCloseWaitTimeout: 0s, tcpEstablishedTimeout: 0s}
END
    start kube-proxy kube-proxy --config=kube-proxy.yaml
    # Docker drops what this machine forwards; the pods may talk to each other all the same.
    iptables -w -I FORWARD -s "$PODS.0/24" -d "$PODS.0/24" -j ACCEPT
}

# The image that holds a pod's namespaces, as a docker archive of one layer with one program.
pause_image() {
    local place=$NODE/pause digest
    mkdir -p "$place"
    tar -C "$BIN" --owner=0 --group=0 --mtime=@0 -cf "$place/layer.tar" pause
    digest=$(sha256sum "$place/layer.tar" | cut -d' ' -f1)
    cat >"$place/config.json" <<END
{"architecture": "$(go_architecture)", "os": "linux", "config": {"Entrypoint": ["/pause"], "User": "65535:65535"},
 "rootfs": {"type": "layers", "diff_ids": ["sha256:$digest"]}}
END
    echo '[{"Config": "config.json", "RepoTags": ["openenv-tests/pause:1"], "Layers": ["layer.tar"]}]' \
        >"$place/manifest.json"
    tar -C "$place" -cf - manifest.json config.json layer.tar
}

go_architecture() { dpkg --print-architecture; }

down() {
    export KUBECONFIG=$NODE/admin.conf
    [ -d "$NODE" ] || return 0
    local task container process daemon space spaces
    # The network namespaces of our pods, from what containerd has told runc about them.
    spaces=$(grep -rhoEs 'netns/cni-[0-9a-f-]+' "$NODE"/containerd-state/*/k8s.io/*/config.json | sort -u) || true
    if runs kube-apiserver; then
        timeout 30 kubectl delete pods,deployments,statefulsets,jobs --all --all-namespaces --force --grace-period=0 \
            --wait=false >/dev/null 2>&1 || true
    fi
    stop kubelet
    stop kube-proxy
    if runs containerd; then
        for task in $(in_containerd task ls -q 2>/dev/null); do
            in_containerd task kill -s KILL "$task" 2>/dev/null || true
            in_containerd task rm -f "$task" >/dev/null 2>&1 || true
        done
        for container in $(in_containerd containers ls -q 2>/dev/null); do
            in_containerd containers rm "$container" 2>/dev/null || true
        done
    fi
    for process in /proc/[0-9]*; do  # shims that a killed containerd has left
        if tr '\0' ' ' 2>/dev/null <"$process/cmdline" | grep -q "^[^ ]*containerd-shim.* $NODE/"; then
            kill -9 "${process#/proc/}" 2>/dev/null || true
        fi
    done
    for daemon in kube-scheduler kube-controller-manager kube-apiserver containerd etcd; do stop "$daemon"; done
    unmount_below "$NODE"
    for space in $spaces; do
        umount -l "/run/$space" 2>/dev/null || true
        rm -f "/run/$space"
    done
    forget_rules -e KUBE- -e CNI- -e "${PODS//./\\.}\.0"
    ip link del cni0 2>/dev/null || true
    find /sys/fs/cgroup/*"$CGROUP" -depth -type d -exec rmdir {} + 2>/dev/null || true
    sysctl -q -p "$NODE/sysctls" 2>/dev/null || true
    [ ! -f "$NODE/made-pod-logs" ] || rm -rf /var/log/pods /var/log/containers
    rm -rf "$NODE"
    say "Kubernetes ended"
}

"$1"
