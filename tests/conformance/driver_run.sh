#!/bin/bash
# The shim's virtio-blk driver against QEMU's device: driver_run.sh DRIVER_CLIENT
set -u
client=$1
work=$(mktemp -d /var/tmp/conformance.XXXXXX)
daemon=''
trap '[ -z "$daemon" ] || kill "$daemon" 2>/dev/null; rm -rf "$work"' EXIT
failed=0
head -c 16M /dev/urandom >"$work/disk"
qemu-storage-daemon --blockdev "driver=file,node-name=disk,filename=$work/disk,discard=unmap,cache.direct=off" \
    --export "type=vhost-user-blk,id=export,node-name=disk,addr.type=unix,addr.path=$work/sock,writable=on" &
daemon=$!
for _ in $(seq 100); do [ -S "$work/sock" ] && break; sleep 0.05; done
timeout 120 "$client" "$work/sock" "$work/disk" || failed=1
echo "$((1 - failed)) passed, $failed failed, 0 skipped"
exit $failed
