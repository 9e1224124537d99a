#!/bin/bash
# The shim's virtio-net driver against Linux's vhost-net: linux_vhost_run.sh NET_CLIENT
#
# In Debian's kernel under QEMU-TCG, since not every machine has vhost-net. Ends with a line that tests/check.sh could add up.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
: "${HW_CACHE:=$top/build/hw-cache}"
export HW_CACHE HW_MEM_MIB=512 HW_CPUS=2
[ -d "$HW_CACHE/kernel" ] || "$top/tests/hw/run-hw.sh" -- true || exit 1
files=(-f "$1")
for module in vhost_iotlb vhost tap vhost_net; do
    files+=(-f "$(find "$HW_CACHE/kernel" -name "$module.ko" | head -n 1)")
done
failed=0
HW_TIMEOUT=${HW_TIMEOUT:-300} "$top/tests/hw/run-hw.sh" "${files[@]}" -- '
for module in vhost_iotlb vhost tap vhost_net; do insmod /t/$module.ko || exit 1; done
ip tuntap add dev tap0 mode tap vnet_hdr 2>/dev/null || tunctl -t tap0 >/dev/null
echo 1 >/proc/sys/net/ipv6/conf/tap0/disable_ipv6
ip link set tap0 mtu 60000 && ip link set tap0 up && timeout 200 /t/net_client tap0' || failed=1
echo "$((1 - failed)) passed, $failed failed, 0 skipped"
exit $failed
