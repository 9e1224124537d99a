#!/bin/sh
# In the test machine: what Linux's virtio-blk driver makes of our device. /dev/vda is empty and writable, /dev/vdb read-only.
# Every line that isn't what it should be begins with FAIL; the last line counts them.
failed=0
fail() { echo "FAIL $*"; failed=$((failed + 1)); }
same() { [ "$2" = "$3" ] || fail "$1: $2, not $3"; }
attribute() { same "$1" "$(cat "/sys/block/$1")" "$2"; }
sum() { sha256sum "$@" | cut -d ' ' -f 1; }
part() { dd if=/dev/vda bs=4096 skip="$1" count="$2" iflag=direct 2>/dev/null | sum; }
zeroes() { head -c "$1" /dev/zero | sum; }

for module in virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci virtio_blk crc16 mbcache jbd2 crc32c_generic \
    libcrc32c ext4; do
    [ ! -e /t/$module.ko ] || insmod /t/$module.ko || fail "$module"
done
for disk in vda vdb; do [ -b /dev/$disk ] || fail "no $disk"; done

# configuration space
attribute vda/size 131072
attribute vda/ro 0
attribute vdb/ro 1
attribute vda/serial conformance
attribute vda/queue/logical_block_size 512
attribute vda/queue/physical_block_size 4096
attribute vda/queue/minimum_io_size 4096
attribute vda/queue/max_segments 126
attribute vda/queue/discard_max_bytes 1073741824
attribute vda/queue/write_zeroes_max_bytes 1073741824
attribute vda/cache_type 'write back'
same events "$(cut -c 29,30 /sys/block/vda/device/features)" 11 # indirect, event index

# write, read: large and small, many at a time
dd if=/dev/urandom of=/tmp/random bs=1M count=24 2>/dev/null
random=$(sum /tmp/random)
dd if=/tmp/random of=/dev/vda bs=1M oflag=direct 2>/dev/null || fail write
same 'read, direct' "$(part 0 6144)" "$random"
echo 3 >/proc/sys/vm/drop_caches
same 'read, cached' "$(head -c 25165824 /dev/vda | sum)" "$random"
dd if=/tmp/random of=/dev/vda bs=4k seek=6144 oflag=direct count=2000 2>/dev/null
for i in 1 2 3 4 5 6; do
    dd if=/tmp/random of=/dev/vda bs=512 skip=$((i * 1000)) seek=$((i * 16384 + 3)) count=300 oflag=direct 2>/dev/null &
done
wait $(jobs -p)
for i in 1 2 3 4 5 6; do
    same "part $i" "$(dd if=/dev/vda bs=512 skip=$((i * 16384 + 3)) count=300 iflag=direct 2>/dev/null | sum)" \
        "$(dd if=/tmp/random bs=512 skip=$((i * 1000)) count=300 2>/dev/null | sum)"
done
for i in 1 2 3 4 5 6 7 8; do dd if=/dev/vda of=/tmp/r$i bs=64k skip=$((i * 8)) count=64 iflag=direct 2>/dev/null & done
wait $(jobs -p)
for i in 1 2 3 4 5 6 7 8; do
    dd if=/dev/vda of=/tmp/once bs=64k skip=$((i * 8)) count=64 iflag=direct 2>/dev/null
    same "reader $i" "$(sum /tmp/r$i)" "$(sum /tmp/once)"
done

# discard, write zeroes, flush, the cache switched off and on
/t/blkdiscard -o 4194304 -l 4194304 /dev/vda || fail discard
same discard "$(part 1024 1024)" "$(zeroes 4194304)"
/t/blkdiscard -z -o 12288 -l 20480 /dev/vda || fail 'write zeroes'
same 'write zeroes' "$(part 3 5)" "$(zeroes 20480)"
same neighbour "$(part 8 1)" "$(dd if=/tmp/random bs=4096 skip=8 count=1 2>/dev/null | sum)"
dd if=/tmp/random of=/dev/vda bs=64k count=4 conv=fsync 2>/dev/null || fail flush
echo 'write through' >/sys/block/vda/cache_type || fail 'cache off'
attribute vda/cache_type 'write through'
dd if=/tmp/random of=/dev/vda bs=64k count=4 oflag=direct 2>/dev/null || fail 'write through'
echo 'write back' >/sys/block/vda/cache_type
attribute vda/cache_type 'write back'

# what must fail, without ending the device
dd if=/tmp/random of=/dev/vdb bs=512 count=1 oflag=direct 2>/dev/null && fail 'write to a read-only disk'
dd if=/dev/vda bs=512 skip=131072 count=1 iflag=direct 2>/dev/null | grep -q . && fail 'read beyond the end'
same 'read-only disk' "$(sum /dev/vdb)" "$(cat /t/vdb.sum)"

# the driver unbound and bound again, which resets the device, also in the midst of reading
driver=/sys/bus/virtio/drivers/virtio_blk
device=$(basename "$(readlink /sys/block/vda/device)")
for i in 1 2 3 4 5; do
    dd if=/dev/vda of=/dev/null bs=4k iflag=direct 2>/dev/null &
    reader=$!
    echo "$device" >$driver/unbind
    wait $reader
    echo "$device" >$driver/bind
done
[ -b /dev/vda ] || fail 'rebind: the disk is gone'
same 'after rebind' "$(part 0 64)" "$(dd if=/tmp/random bs=4096 count=64 2>/dev/null | sum)"

# a file system
mkdir -p /mnt
/t/mke2fs -q -F -t ext4 /dev/vda || fail mke2fs
mount -t ext4 -o discard /dev/vda /mnt || fail mount
cp /tmp/random /mnt/a
for i in $(seq 300); do echo "$i" >/mnt/f$i; done
sync
rm /mnt/f1*
cp /mnt/a /mnt/b
umount /mnt || fail umount
mount -t ext4 /dev/vda /mnt
same files "$(sum /mnt/a) $(sum /mnt/b) $(cat /mnt/f299)" "$random $random 299"
umount /mnt
/t/e2fsck -f -n /dev/vda >/tmp/fsck 2>&1 || fail "e2fsck: $(tail -3 /tmp/fsck)"
dmesg | grep -Ei 'vda.*error|I/O error|virtio.*(fail|bad|broken)' | grep -v 'dev vdb' && fail 'the kernel complains'
echo "$failed failed"
[ $failed = 0 ]
