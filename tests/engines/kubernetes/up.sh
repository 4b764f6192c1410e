#!/usr/bin/env bash
# Bring up a Kubernetes cluster of one node on this machine, as root, without systemd and without an image registry.
#
#   up.sh BIN RUN
#
# BIN has what build.sh built, RUN is a folder to be made; every daemon's pid and log are in it, and down.sh RUN ends
# them. Needs the Debian packages etcd-server containerd runc containernetworking-plugins conntrack, kubectl and a Docker
# engine (it makes the image of the pause program). When the script returns the node is ready, RUN/kubeconfig reaches
# it, and RUN/containerd.sock takes images: docker save IMAGE | ctr -a RUN/containerd.sock -n k8s.io images import -
set -euo pipefail
BIN=$(realpath "${1:?the folder of the Kubernetes programs}")
mkdir -p "${2:?a folder for the cluster}"
RUN=$(realpath "$2")
mkdir -p "$RUN"/{certs,cni,log}
cd "$RUN"

ADDRESS=$(hostname -I | cut -d' ' -f1)
PODS=10.244.0.0/24
SERVICES=10.96.0.0/16
PAUSE=openenv-tests/pause:1
FEATURES=TTLAfterFinished=true # on by default from Kubernetes 1.21 on

start() { # NAME COMMAND...: run a daemon in a session of its own
    local name=$1
    shift
    setsid "$@" >"log/$name.log" 2>&1 </dev/null &
    echo $! >"$name.pid"
}

wait_for() { # SECONDS WHAT COMMAND...
    local tries=$(($1 * 10)) what=$2
    shift 2
    for ((i = 0; i < tries; i++)); do
        if "$@" >/dev/null 2>&1; then return; fi
        sleep 0.1
    done
    echo "$what is not ready; its log is in $RUN/log" >&2
    exit 1
}

# The kubelet sets these; down.sh puts them back.
sysctl kernel.panic kernel.panic_on_oops vm.overcommit_memory net.ipv4.conf.all.route_localnet \
    net.ipv4.ip_forward >sysctl.before

# --- the control plane ---------------------------------------------------------------------------------------------

openssl genrsa -out service-accounts.key 2048 2>/dev/null
TOKEN=$(openssl rand -hex 16)
echo "$TOKEN,admin,admin,system:masters" >tokens.csv
chmod 600 tokens.csv service-accounts.key

start etcd etcd --data-dir "$RUN/etcd" --unsafe-no-fsync \
    --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
    --listen-peer-urls http://127.0.0.1:2380

cat >apiserver.sh <<SH
#!/bin/sh
exec "$BIN/kube-apiserver" --etcd-servers=http://127.0.0.1:2379 --cert-dir="$RUN/certs" --secure-port=6443 \\
    --advertise-address="$ADDRESS" --token-auth-file="$RUN/tokens.csv" --authorization-mode=Node,RBAC \\
    --service-cluster-ip-range=$SERVICES --kubelet-preferred-address-types=InternalIP \\
    --service-account-issuer=https://kubernetes.default.svc \\
    --service-account-key-file="$RUN/service-accounts.key" \\
    --service-account-signing-key-file="$RUN/service-accounts.key" --feature-gates=$FEATURES
SH
chmod +x apiserver.sh # a file of its own: a test kills the API server and starts it again
start apiserver "$RUN/apiserver.sh"

cat >kubeconfig <<YAML
apiVersion: v1
kind: Config
clusters:
  - {name: node, cluster: {server: "https://$ADDRESS:6443", certificate-authority: "$RUN/certs/apiserver.crt"}}
users:
  - {name: admin, user: {token: $TOKEN}}
contexts:
  - {name: node, context: {cluster: node, user: admin}}
current-context: node
YAML
chmod 600 kubeconfig
export KUBECONFIG=$RUN/kubeconfig
wait_for 60 "The API server" kubectl get --raw /readyz

start controller-manager "$BIN/kube-controller-manager" --kubeconfig="$KUBECONFIG" --leader-elect=false \
    --service-account-private-key-file="$RUN/service-accounts.key" --root-ca-file="$RUN/certs/apiserver.crt" \
    --use-service-account-credentials=false --feature-gates=$FEATURES
start scheduler "$BIN/kube-scheduler" --kubeconfig="$KUBECONFIG" --leader-elect=false

# --- the node ------------------------------------------------------------------------------------------------------

cat >containerd.toml <<TOML
version = 2
root = "$RUN/containerd"
state = "$RUN/containerd-state"
[grpc]
  address = "$RUN/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/$PAUSE"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$RUN/cni"
TOML
cat >cni/10-node.conflist <<JSON
{"cniVersion": "0.4.0", "name": "node", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true,
   "ipam": {"type": "host-local", "ranges": [[{"subnet": "$PODS"}]], "routes": [{"dst": "0.0.0.0/0"}],
            "dataDir": "$RUN/ipam"}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
JSON
start containerd containerd -c "$RUN/containerd.toml"
wait_for 30 containerd ctr -a "$RUN/containerd.sock" version

docker image inspect $PAUSE >/dev/null 2>&1 ||
    tar -C "$BIN" -c pause | docker import -c 'ENTRYPOINT ["/pause"]' - $PAUSE >/dev/null
docker save $PAUSE | ctr -a "$RUN/containerd.sock" -n k8s.io images import - >/dev/null

cat >kubelet.yaml <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
address: $ADDRESS
cgroupDriver: cgroupfs
failSwapOn: false
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%}
featureGates: {SupportPodPidsLimit: true}
podPidsLimit: 100
resolvConf: /etc/resolv.conf
YAML
start kubelet "$BIN/kubelet" --config="$RUN/kubelet.yaml" --kubeconfig="$KUBECONFIG" --root-dir="$RUN/kubelet" \
    --cert-dir="$RUN/kubelet-certs" --container-runtime=remote --hostname-override=node \
    --container-runtime-endpoint="unix://$RUN/containerd.sock" --node-ip="$ADDRESS"

cat >proxy.yaml <<YAML
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: iptables
clientConnection: {kubeconfig: $KUBECONFIG}
hostnameOverride: node
conntrack: {maxPerCore: 0, min: 0, tcpCloseWaitTimeout: 0s, tcpEstablishedTimeout: 0s}
YAML
start proxy "$BIN/kube-proxy" --config="$RUN/proxy.yaml"
# Docker drops what is forwarded; pods of this node may talk to each other all the same.
iptables -w -I FORWARD -s $PODS -d $PODS -j ACCEPT

node_is_ready() { kubectl get node node | grep -q ' Ready'; }
wait_for 60 "The node" node_is_ready
kubectl wait --for=condition=Ready node/node --timeout=5s >/dev/null
service_account_is_there() { kubectl get serviceaccount default; }
wait_for 30 "The service account" service_account_is_there
kubectl get nodes
