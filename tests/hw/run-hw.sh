#!/bin/bash
# Run a command on a Linux whose /dev/kvm has true hardware semantics: Debian's kernel booted under
# QEMU-TCG, which emulates SVM with nested paging. Needs no KVM and no root on this machine.
#
#   tests/hw/run-hw.sh [-f FILE]... [-d DIR]... [-p] [-o DIR] [-i] -- 'shell command'
#
#   -f FILE   put FILE into /t, the command's working directory (shared libraries follow by themselves)
#   -d DIR    put the tree DIR into /t/$(basename DIR)
#   -p        add the Debian programs of tests/hw/programs.txt at their usual places
#   -o DIR    bring /t/out back into DIR
#   -i        connect the terminal to the command: -i -- sh is a shell to look around in
#
# The command's stdout and stderr come out on stdout; the script's exit status is the command's
# (255: the machine never reported one). The kernel's own console goes to $HW_CACHE/console.log.
#
# HW_CACHE    cache of the kernel and the unpacked trees  [build/hw-cache]
# HW_TIMEOUT  seconds before the machine is killed        [300]
# HW_CPUS, HW_MEM_MIB                                     [2, 2048]
# HW_APPEND   more words for the kernel's command line
# HW_QEMU     more words for QEMU, such as "-monitor unix:/tmp/monitor,server,nowait"
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
cache=${HW_CACHE:-$top/build/hw-cache}
modules=(irqbypass ccp kvm kvm-amd tun netfs fscache 9pnet 9pnet_fd 9p)

die() { echo "run-hw: $*" >&2; exit 255; }

files=() trees=() with_programs=0 out_dir='' interactive=0
while [ $# -gt 0 ]; do
    case $1 in
    -f) files+=("$2"); shift 2 ;;
    -d) trees+=("$2"); shift 2 ;;
    -o) out_dir=$2; shift 2 ;;
    -p) with_programs=1; shift ;;
    -i) interactive=1; shift ;;
    --) shift; break ;;
    -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
    *) die "$1: unknown option (try --help)" ;;
    esac
done
[ $# -gt 0 ] || die "no command after --"
for tool in qemu-system-x86_64 busybox cpio gzip gcc; do
    command -v "$tool" >/dev/null || die "$tool: not installed (apt-get install qemu-system-x86 busybox-static cpio)"
done
mkdir -p "$cache"

# The kernel package is unpacked, never installed. An interrupted fetch leaves no half-filled tree.
fetch_kernel() {
    local package tmp
    package=$(apt-cache depends linux-image-amd64 2>/dev/null |
        awk '$1 == "Depends:" && $2 ~ /^linux-image/ { print $2; exit }')
    if [ -z "$package" ]; then
        apt-get update -qq || die "apt knows no linux-image-amd64"
        package=$(apt-cache depends linux-image-amd64 |
            awk '$1 == "Depends:" && $2 ~ /^linux-image/ { print $2; exit }')
    fi
    tmp=$(mktemp -d "$cache/fetch.XXXXXX")
    # apt drops to the user _apt, who may not write below a private build directory
    (cd "$tmp" && apt-get -o APT::Sandbox::User=root download -qq "$package") ||
        die "$package: download failed"
    dpkg-deb -x "$tmp"/*.deb "$tmp/kernel"
    mv "$tmp/kernel" "$cache/kernel" 2>/dev/null || [ -d "$cache/kernel" ]
    rm -rf "$tmp"
}

# Copy programs with the libraries that ldd names, keeping their places.
copy_closure() {
    local root=$1 file real
    shift
    for file; do
        { ldd "$file" 2>/dev/null || true; } | grep -o '/[^ ]*' || true
    done | sort -u | while read -r file; do
        [ -e "$file" ] || continue # what ldd says of a file that isn't for this C library
        real=$(readlink -f "$file")
        # /lib and /lib64 are links into /usr on Debian; so they are in the machine
        case $file in /lib/* | /lib64/*) file=/usr$file ;; esac
        mkdir -p "$root$(dirname "$file")"
        [ -e "$root$file" ] || cp "$real" "$root$file"
    done
}

new_root() {
    local root=$1
    mkdir -p "$root/usr"/{bin,lib,lib64,sbin} "$root"/{dev,etc,home,proc,root,run,sys,t,tmp,var/tmp}
    for dir in bin lib lib64 sbin; do [ -L "$root/$dir" ] || ln -s "usr/$dir" "$root/$dir"; done
}

pack() { (cd "$1" && find . -mindepth 1 | LC_ALL=C sort | cpio -o -H newc --quiet -R 0:0); }

build_base() {
    local root m ko
    root=$(mktemp -d "$cache/base.XXXXXX")
    new_root "$root"
    cp "$(command -v busybox)" "$root/usr/bin/busybox"
    mkdir "$root/modules"
    for m in "${modules[@]}"; do
        ko=$(find "$cache/kernel" -name "$m.ko*" | head -n 1)
        [ -n "$ko" ] || die "$m: no such module in the kernel package"
        cp "$ko" "$root/modules/"
    done
    printf '%s\n' "${modules[@]}" >"$root/modules/order"
    printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\nuser:x:1000:1000::/tmp:/bin/sh\n' >"$root/etc/passwd"
    printf 'root:x:0:\nnogroup:x:65534:\nuser:x:1000:\n' >"$root/etc/group"
    printf '127.0.0.1 localhost\n' >"$root/etc/hosts"
    printf 'hosts: files\n' >"$root/etc/nsswitch.conf"
    cp "$here/init" "$root/init"
    chmod 755 "$root/init"
    ${CC:-gcc} -O2 -static -o "$root/hold-vm" "$here/hold-vm.c"
    pack "$root" >"$cache/base.cpio.$$"
    mv "$cache/base.cpio.$$" "$cache/base.cpio"
    rm -rf "$root"
}

build_programs() {
    local root line
    root=$(mktemp -d "$cache/programs.XXXXXX")
    new_root "$root"
    while read -r line; do
        case $line in
        '' | '#'*) continue ;;
        esac
        if [ -d "$line" ]; then
            mkdir -p "$root$line"
            (cd "$line" && tar -cf - --exclude=__pycache__ --exclude=test --exclude=tests \
                --exclude=idlelib --exclude=lib2to3 --exclude=ensurepip --exclude='config-*' \
                --exclude='*.a' .) | tar -xf - -C "$root$line"
            find "$root$line" -name '*.so' -print0 | while IFS= read -r -d '' so; do
                copy_closure "$root" "$so" </dev/null
            done
        elif [ -e "$line" ]; then
            case $line in /bin/* | /sbin/* | /lib/*) line=/usr$line ;; esac
            mkdir -p "$root$(dirname "$line")"
            cp "$(readlink -f "$line")" "$root$line"
            copy_closure "$root" "$line"
        else
            echo "run-hw: $line: not installed here, left out" >&2
        fi
    done <"$here/programs.txt"
    # busybox's shell runs its own applets where a program has the same name
    [ ! -e "$root/usr/bin/dash" ] || ln -s dash "$root/usr/bin/sh"
    # what makes the loader and the programs find their things
    cp /etc/ld.so.cache "$root/etc/" 2>/dev/null || true
    pack "$root" >"$cache/programs.cpio.$$"
    mv "$cache/programs.cpio.$$" "$cache/programs.cpio"
    rm -rf "$root"
}

[ -d "$cache/kernel" ] || fetch_kernel
if [ ! -e "$cache/base.cpio" ] || [ "$here/init" -nt "$cache/base.cpio" ] ||
    [ "$here/run-hw.sh" -nt "$cache/base.cpio" ] || [ "$here/hold-vm.c" -nt "$cache/base.cpio" ] ||
    [ "$cache/kernel" -nt "$cache/base.cpio" ]; then
    build_base
fi
if [ $with_programs = 1 ] && { [ ! -e "$cache/programs.cpio" ] ||
    [ "$here/programs.txt" -nt "$cache/programs.cpio" ] ||
    [ "$here/run-hw.sh" -nt "$cache/programs.cpio" ]; }; then
    build_programs
fi

work=$(mktemp -d "$cache/run.XXXXXX")
qemu_pid=''
cleanup() {
    [ -z "$qemu_pid" ] || kill -KILL "$qemu_pid" 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 255' INT TERM HUP

# What belongs to this run: /t with the files, the command, and libraries for dynamic files.
root=$work/root
mkdir -p "$root/t"
for dir in ${trees[@]+"${trees[@]}"}; do cp -rL "$dir" "$root/t/$(basename "$dir")"; done
for file in ${files[@]+"${files[@]}"}; do cp -L "$file" "$root/t/"; done
find "$root/t" -type f -perm -u+x -print0 | while IFS= read -r -d '' file; do
    copy_closure "$root" "$file" </dev/null
done
printf '%s\n' "$*" >"$root/t/.command"
[ $interactive = 1 ] && touch "$root/t/.interactive"
[ -n "$out_dir" ] && touch "$root/t/.bring-back"

# The kernel unpacks concatenated archives one after the other (Documentation/driver-api/early-userspace).
{
    cat "$cache/base.cpio"
    [ $with_programs = 0 ] || cat "$cache/programs.cpio"
    pack "$root"
} >"$work/initrd"

# ttyS0: kernel console; ttyS1: the command's terminal; ttyS2: status and what is brought back.
qemu=(qemu-system-x86_64
    -accel tcg,thread=multi -cpu max,svm=on,vmx=off -smp "${HW_CPUS:-2}" -m "${HW_MEM_MIB:-2048}"
    -nodefaults -no-user-config -display none -no-reboot
    -kernel "$(echo "$cache"/kernel/boot/vmlinuz-*)" -initrd "$work/initrd"
    -append "console=ttyS0 panic=-1 reboot=t mitigations=off random.trust_cpu=on quiet ${HW_APPEND:-}"
    -chardev "file,id=console,path=$work/console" -serial chardev:console
    -chardev "stdio,id=command,signal=off" -serial chardev:command
    -chardev "file,id=result,path=$work/result" -serial chardev:result)
# shellcheck disable=SC2206  # words are meant to be split
qemu+=(${HW_QEMU:-})
if [ $interactive = 1 ]; then
    saved=$(stty -g 2>/dev/null || true)
    timeout --foreground "${HW_TIMEOUT:-86400}" "${qemu[@]}" || true
    [ -z "$saved" ] || stty "$saved" || true
else
    timeout "${HW_TIMEOUT:-300}" "${qemu[@]}" </dev/null &
    qemu_pid=$!
    wait "$qemu_pid" || true
    qemu_pid=''
fi

cp "$work/console" "$cache/console.log"
status=$(sed -n '1s/^STATUS \([0-9]*\)$/\1/p' "$work/result" 2>/dev/null || true)
if [ -z "$status" ]; then
    echo "run-hw: the machine reported no status; the end of its console:" >&2
    tail -n 20 "$work/console" >&2
    exit 255
fi
if grep -Eq 'BUG:|Oops|WARNING:|Call Trace' "$work/console"; then
    echo "run-hw: the kernel complained, see $cache/console.log" >&2
fi
if [ -n "$out_dir" ]; then
    mkdir -p "$out_dir"
    tail -n +2 "$work/result" | tar -xzf - -C "$out_dir" || die "/t/out did not come back whole"
fi
exit "$status"
