#!/usr/bin/env bash
# End a cluster that up.sh brought up, and undo what it changed on this machine.
#
#   down.sh RUN
set -uo pipefail
RUN=$(realpath "${1:?the folder that was given to up.sh}")
[ -f "$RUN/kubeconfig" ] || { echo "$RUN has no cluster"; exit 0; }
cd "$RUN" || exit 1
export KUBECONFIG=$RUN/kubeconfig

in_node() { ctr -a "$RUN/containerd.sock" -n k8s.io "$@"; }

end() { # NAME: end a daemon and wait until it has ended
    local pid
    pid=$(cat "$1.pid" 2>/dev/null) || return 0
    kill "$pid" 2>/dev/null
    for ((i = 0; i < 100; i++)); do
        kill -0 "$pid" 2>/dev/null || return 0
        sleep 0.1
    done
    kill -KILL "$pid" 2>/dev/null
}

timeout 20 kubectl delete jobs,statefulsets,deployments,pods --all -A --force --grace-period=0 --wait=false >/dev/null 2>&1
end kubelet
end proxy
for task in $(in_node tasks list -q); do in_node tasks kill -s KILL "$task"; done 2>/dev/null
sleep 1
for task in $(in_node tasks list -q); do in_node tasks delete -f "$task" >/dev/null; done 2>/dev/null
for container in $(in_node containers list -q); do in_node containers delete "$container"; done 2>/dev/null
for daemon in scheduler controller-manager apiserver containerd etcd; do end $daemon; done

grep -o " $RUN/[^ ]*" /proc/self/mounts | sort -r | xargs -r -n1 umount -l
awk '{print $2}' /proc/self/mounts | grep '/run/netns/cni-' | xargs -r -n1 umount -l
rm -f /run/netns/cni-*

# Rule by rule, for Docker's own rules in the same tables may change at any moment.
for table in filter nat mangle; do
    {
        echo "*$table"
        iptables-save -t $table | grep -E '^-A' | grep -vE '^-A (KUBE-|CNI-)' | grep -E 'KUBE-|CNI-|10\.244\.0\.' | sed 's/^-A/-D/'
        iptables-save -t $table | grep -oE '^:(KUBE-|CNI-)[^ ]*' | sed 's/^:/-F /'
        iptables-save -t $table | grep -oE '^:(KUBE-|CNI-)[^ ]*' | sed 's/^:/-X /'
        echo COMMIT
    } | iptables-restore --wait --noflush
done
ip link delete cni0 2>/dev/null
find /sys/fs/cgroup/*/kubepods -depth -type d -exec rmdir {} + 2>/dev/null
grep -v ip_forward sysctl.before | sed 's/ = /=/' | xargs -r sysctl -qw
cd / && rm -rf "$RUN"
