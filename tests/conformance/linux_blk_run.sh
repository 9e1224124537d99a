#!/bin/bash
# Linux's virtio-blk driver against our device: linux_blk_run.sh BLK_SERVER
#
# Debian's kernel under QEMU-TCG, its disks served by blk_server over vhost-user. Ends with a line that tests/check.sh adds up.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
server=$1
: "${HW_CACHE:=$top/build/hw-cache}"
export HW_CACHE HW_MEM_MIB=512 HW_CPUS=2
work=$(mktemp -d /var/tmp/conformance.XXXXXX)
servers=()
trap '[ ${#servers[@]} = 0 ] || kill "${servers[@]}" 2>/dev/null; rm -rf "$work"' EXIT

truncate -s 64M "$work/vda"
seq 400000 | head -c 2M >"$work/vdb"
sha256sum <"$work/vdb" | cut -d ' ' -f 1 >"$work/vdb.sum"
"$server" "$work/a.sock" "$work/vda" >"$work/a.log" 2>&1 & servers+=($!)
"$server" "$work/b.sock" "$work/vdb" ro >"$work/b.log" 2>&1 & servers+=($!)
for sock in a b; do for _ in $(seq 100); do [ -S "$work/$sock.sock" ] && break; sleep 0.05; done; done

[ -d "$HW_CACHE/kernel" ] || "$top/tests/hw/run-hw.sh" -- true || exit 1
files=(-f "$here/linux_blk.sh" -f "$work/vdb.sum" -f "$(command -v mke2fs)" -f "$(command -v e2fsck)" -f "$(command -v blkdiscard)")
for module in virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci virtio_blk crc16 mbcache jbd2 \
    crc32c_generic libcrc32c ext4; do
    ko=$(find "$HW_CACHE/kernel" -name "$module.ko" | head -n 1)
    [ -z "$ko" ] || files+=(-f "$ko")
done
export HW_QEMU="-object memory-backend-memfd,id=ram,size=${HW_MEM_MIB}M,share=on -machine memory-backend=ram
    -chardev socket,id=a,path=$work/a.sock -device vhost-user-blk-pci,chardev=a,num-queues=1
    -chardev socket,id=b,path=$work/b.sock -device vhost-user-blk-pci,chardev=b,num-queues=1"
failed=0
HW_TIMEOUT=${HW_TIMEOUT:-300} "$top/tests/hw/run-hw.sh" "${files[@]}" -- sh /t/linux_blk.sh || failed=1
for i in 0 1; do wait "${servers[$i]}" || failed=1; done
servers=()
sed 's/^/vda: /' "$work/a.log"
sed 's/^/vdb: /' "$work/b.log"
# started by the probe, and by each of the five rebinds
grep -q '^[6-9] starts, event index 1, indirect 1,' "$work/a.log" || failed=1
echo "$((1 - failed)) passed, $failed failed, 0 skipped"
exit $failed
