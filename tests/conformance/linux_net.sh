#!/bin/sh
# In the test machine: what Linux's virtio-net driver makes of our device. The host is 10.77.0.1 and fd77::1; see net_peer.py.
# Every line that isn't what it should be begins with FAIL; the last line counts them.
failed=0
fail() { echo "FAIL $*"; failed=$((failed + 1)); }
same() { [ "$2" = "$3" ] || fail "$1: $2, not $3"; }
sum() { sha256sum | cut -d ' ' -f 1; }
feature() { same "feature $1" "$(cut -c $(($1 + 1)) /sys/class/net/eth0/device/features)" "$2"; }
wanted=$(cat /t/random.sum)

# Both ways, each compared; $1 is said when it fails.
receive() { same "$1: received" "$(nc 10.77.0.1 8000 </dev/null | sum)" "$wanted"; }
transmit() { same "$1: sent" "$(nc 10.77.0.1 8001 </tmp/random)" "$wanted"; }
both() {
    receive "$1"
    transmit "$1"
}

up() {
    ip link set eth0 up
    ip addr add 10.77.0.2/24 dev eth0
    ip addr add fd77::2/64 dev eth0
}

for module in virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci failover net_failover virtio_net; do
    [ ! -e /t/$module.ko ] || insmod /t/$module.ko || fail "$module"
done
for _ in 1 2 3 4 5; do [ -e /sys/class/net/eth0 ] && break; sleep 1; done
[ -e /sys/class/net/eth0 ] || { dmesg | grep -i virtio; echo 'FAIL no eth0'; exit 1; }
same address "$(cat /sys/class/net/eth0/address)" 02:00:00:00:00:07
same mtu "$(cat /sys/class/net/eth0/mtu)" 1500
for bit in 0 1 7 8 11 12 15 28 29 32; do feature $bit 1; done # checksums, segmentation, merging, indirect, event index, version 1
up

# frames of all sizes, in fragments too
for size in 0 1 18 1472 1473 8000 60000; do
    ping -c 3 -W 5 -s $size 10.77.0.1 >/dev/null || fail "ping of $size"
done
sleep 2 # the address is looked for first
ping -c 3 -W 5 fd77::1 >/dev/null || fail 'ping by IPv6'

nc 10.77.0.1 8000 </dev/null >/tmp/random
same 'first' "$(sum </tmp/random)" "$wanted"
both plain
for i in 1 2 3 4; do
    receive "parallel $i" &
    transmit "parallel $i" &
done >/tmp/parallel
wait $(jobs -p)
cat /tmp/parallel
failed=$((failed + $(grep -c FAIL /tmp/parallel)))

# without each of the offloads, from the largest
for offload in tso gso tx gro; do
    /t/ethtool -K eth0 $offload off >/dev/null || fail "$offload off"
    both "$offload off"
done
/t/ethtool -K eth0 tx on tso on gso on gro on >/dev/null || fail 'offloads on'
both 'offloads on'
ip link set eth0 mtu 1280
both 'small mtu'
ip link set eth0 mtu 1500

# the driver unbound and bound again, which resets the device, in the midst of transfers
driver=/sys/bus/virtio/drivers/virtio_net
device=$(basename "$(readlink /sys/class/net/eth0/device)")
for i in 1 2 3 4 5; do
    timeout 5 nc 10.77.0.1 8000 </dev/null >/dev/null &
    timeout 5 nc 10.77.0.1 8001 </tmp/random >/dev/null 2>&1 &
    sleep 0.2
    echo "$device" >$driver/unbind
    echo "$device" >$driver/bind
    up
    ping -c 2 -W 5 10.77.0.1 >/dev/null || fail "rebind $i"
done
both 'after rebind'
dmesg | grep -Ei 'virtio.*(fail|bad|broken)|eth0.*(timeout|error|bad)' && fail 'the kernel complains'
echo "$failed failed"
[ $failed = 0 ]
