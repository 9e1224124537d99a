#!/bin/bash
# Linux's virtio-net driver against our device: linux_net_run.sh NET_SERVER
#
# Debian's kernel under QEMU-TCG, its network device served by net_server over vhost-user; the other end is a tap in a network namespace
# that is made here. Ends with a line that tests/check.sh could add up.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
server=$1
if [ -z "${IN_NAMESPACE:-}" ]; then
    [ "$(id -u)" = 0 ] && user='' || user=-r
    IN_NAMESPACE=1 exec unshare $user -n "$0" "$@"
fi
: "${HW_CACHE:=$top/build/hw-cache}"
export HW_CACHE HW_MEM_MIB=512 HW_CPUS=2
mac=02:00:00:00:00:07
work=$(mktemp -d /var/tmp/conformance.XXXXXX)
children=()
trap '[ ${#children[@]} = 0 ] || kill "${children[@]}" 2>/dev/null; rm -rf "$work"' EXIT

if ! { ip link set lo up && ip tuntap add dev tap0 mode tap vnet_hdr && ip addr add 10.77.0.1/24 dev tap0 &&
    ip addr add fd77::1/64 dev tap0 nodad && ip link set tap0 up; }; then
    echo '0 passed, 0 failed, 1 skipped'
    exit 0
fi
head -c 8M /dev/urandom >"$work/random"
sha256sum <"$work/random" | cut -d ' ' -f 1 >"$work/random.sum"
"$server" "$work/n.sock" tap0 $mac >"$work/n.log" 2>&1 & device=$!
children+=($device)
/usr/bin/python3 "$here/net_peer.py" 10.77.0.1 "$work/random" & children+=($!)
for _ in $(seq 100); do [ -S "$work/n.sock" ] && break; sleep 0.05; done

# outside of the namespace it isn't there yet, where apt has a network
[ -d "$HW_CACHE/kernel" ] || { echo "run make check-hw first: the kernel is fetched there"; exit 1; }
files=(-f "$here/linux_net.sh" -f "$work/random.sum" -f "$(command -v ethtool)")
for module in virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci failover net_failover virtio_net; do
    ko=$(find "$HW_CACHE/kernel" -name "$module.ko" | head -n 1)
    [ -z "$ko" ] || files+=(-f "$ko")
done
# Without MSI-X, with which QEMU 7.2 dies here when the driver starts.
export HW_QEMU="-object memory-backend-memfd,id=ram,size=${HW_MEM_MIB}M,share=on -machine memory-backend=ram
    -chardev socket,id=n,path=$work/n.sock -netdev vhost-user,id=net,chardev=n
    -device virtio-net-pci,netdev=net,mac=$mac,romfile=,vectors=0"
failed=0
HW_TIMEOUT=${HW_TIMEOUT:-300} "$top/tests/hw/run-hw.sh" "${files[@]}" -- sh /t/linux_net.sh || failed=1
wait $device || failed=1
cat "$work/n.log"
# started by the probe, and by each of the five rebinds
grep -q '^[6-9] starts, event index 1, indirect 1' "$work/n.log" || failed=1
echo "$((1 - failed)) passed, $failed failed, 0 skipped"
exit $failed
