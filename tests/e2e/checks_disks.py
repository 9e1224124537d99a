"""Block devices: what the sandbox sees and does of a disk image, compared with the image on the host."""

import hashlib
import os
import random
import shutil
import subprocess
import time

from checks import Failure, Skip, check, expect, expect_message, require, start, finish, vmm, wait_line, workdir, write_file
import __main__ as runner

DATA = os.path.join(runner.TOP, 'tests', 'e2e', 'data')


def make_image(directory, size, seed=1, name='disk.img'):
    return write_file(os.path.join(directory, name), random.Random(seed).randbytes(size))


def digest(path):
    with open(path, 'rb') as file:
        return hashlib.sha256(file.read()).hexdigest()


@check('hw')
def disk_reads(settings, log):
    """Every byte of the image, by the cache, without it, and by dd's sizes; a size that is no multiple of a page."""
    with workdir() as path:
        image = make_image(path, (3 << 20) + 512)
        script = ('sha256sum </dev/vda; dd if=/dev/vda bs=60k iflag=direct status=none | sha256sum;'
                  'dd if=/dev/vda bs=1000 status=none | sha256sum')
        result = vmm(settings, log, '--disk', image + ':ro', '/bin/sh', '-c', script)
        expect(result, out=(digest(image) + '  -\n').encode() * 3)


@check('hw')
def disk_random_operations(settings, log):
    """Cached, direct and mapped reads and writes agree with a copy in memory, and with the image afterwards."""
    with workdir() as path:
        image = make_image(path, 4 << 20)
        for seed in (1, 2):
            result = vmm(settings, log, '--disk', image, '--bind', DATA + ':/d', 'python3', '/d/disk_ops.py', '/dev/vda',
                         str(seed), '200')
            expect(result, out=(digest(image) + '\n').encode())


@check('hw')
def disk_ioctls(settings, log):
    """Sizes, flags and errors that programs ask a block device for."""
    program = '''
import fcntl, os, struct, errno
fd = os.open("/dev/vda", os.O_RDWR)
def get(cmd, n): return int.from_bytes(fcntl.ioctl(fd, cmd, bytes(n)), "little")
print(get(0x80081272, 8), get(0x1260, 8), get(0x1268, 4), get(0x127b, 4) >= 512, get(0x125e, 4))
print(os.lseek(fd, 0, os.SEEK_END), os.fstat(fd).st_rdev == os.makedev(254, 0), os.fstat(fd).st_size)
def err(f, *a):
    try: return f(*a)
    except OSError as e: return errno.errorcode[e.errno]
print(err(os.write, fd, b"x"), err(os.read, fd, 10), err(os.lseek, fd, 1 << 30, 0), err(os.lseek, fd, -1, 0))
ro = os.open("/dev/vdb", os.O_RDONLY)
print(err(os.open, "/dev/vdb", os.O_RDWR), int.from_bytes(fcntl.ioctl(ro, 0x125e, bytes(4)), "little"))
print(err(fcntl.ioctl, ro, 0x127f, struct.pack("QQ", 0, 512)), err(fcntl.ioctl, fd, 0x127f, struct.pack("QQ", 1, 512)))
print(err(fcntl.ioctl, fd, 0x1277, struct.pack("QQ", 0, 1 << 40)), err(fcntl.ioctl, fd, 0x1277, struct.pack("QQ", 0, 4096)))
print(err(fcntl.ioctl, fd, 0x4321, 0), err(os.ftruncate, fd, 0))
d = os.open("/dev/vda", os.O_RDONLY | os.O_DIRECT)
print(err(os.pread, d, 100, 0), err(os.pread, d, 512, 100))
os.mknod("/dev/vdz", 0o60600, os.makedev(254, 200))
print(err(os.open, "/dev/vdz", os.O_RDONLY), err(os.open, "/dev/vda", os.O_RDONLY | os.O_DIRECTORY))
'''
    with workdir() as path:
        a, b = make_image(path, 1 << 20), make_image(path, 1 << 20, name='b.img')
        result = vmm(settings, log, '--disk', a, '--disk', b + ':ro', 'python3', '-c', program)
        expect(result)
        lines = result.out.decode().splitlines()
        require(lines[0] == '1048576 2048 512 True 0', lines[0])
        require(lines[1] == '1048576 True 0', lines[1])
        require(lines[2] == "ENOSPC b'' EINVAL EINVAL", lines[2])
        require(lines[3] == 'EACCES 1', lines[3])
        require(lines[4] == 'EBADF EINVAL', lines[4])
        require(lines[5].startswith('EINVAL ') and 'E' not in lines[5][7:], lines[5])
        require(lines[6] == 'ENOTTY EINVAL', lines[6])
        require(lines[7] == 'EINVAL EINVAL', lines[7])
        require(lines[8] == 'ENXIO ENOTDIR', lines[8])


PARTITION_TABLES = {
    'gpt': ('label: gpt\nstart=2048,size=2048\nsize=1024\nsize=4096\n', [(1, 2048, 2048), (2, 4096, 1024), (3, 6144, 4096)]),
    'dos': ('label: dos\nstart=63,size=1000,type=83\nstart=2048,size=12000,type=5\nstart=4096,size=1000,type=83\n'
            'start=8192,size=2000,type=83\n',
            [(1, 63, 1000), (5, 4096, 1000), (6, 8192, 2000)]),
}


@check()
def disk_partitions(settings, log):
    """GPT and MBR with logical partitions, made by sfdisk: names, sizes, and the bytes of each."""
    with workdir() as path:
        for label, (script, parts) in PARTITION_TABLES.items():
            image = make_image(path, 8 << 20)
            made = subprocess.run(['sfdisk', '--quiet', '--wipe', 'always', image], input=script.encode(), capture_output=True)
            if made.returncode:
                raise Failure(f'sfdisk: {made.stderr!r}')
            with open(image, 'rb') as file:
                data = file.read()
            expected = ''.join(f'{hashlib.sha256(data[s * 512:(s + n) * 512]).hexdigest()}  /dev/vda{i}\n' for i, s, n in parts)
            names = ' '.join(f'/dev/vda{i}' for i, _, _ in parts)
            result = vmm(settings, log, '--disk', image + ':ro', '/bin/sh', '-c', f'sha256sum {names}; grep -c vda /proc/partitions')
            require(result.out.decode().startswith(expected), f'{label}: {result.out!r}')
            # a write to a partition lands at its place
            i, s, n = parts[-1]
            result = vmm(settings, log, '--disk', image, '/bin/sh', '-c',
                         f'printf hello | dd of=/dev/vda{i} bs=5 seek=100 conv=notrunc status=none')
            expect(result, out=b'')
            with open(image, 'rb') as file:
                after = file.read()
            at = s * 512 + 500
            require(after == data[:at] + b'hello' + data[at + 5:], f'{label}: the write went elsewhere')


@check()
def disk_options(settings, log):
    """Refusals of --disk: one line each."""
    with workdir() as path:
        image = make_image(path, 1 << 20)
        expect_message(vmm(settings, log, '--disk', path, '/bin/true'), 125, path)
        expect_message(vmm(settings, log, '--disk', path + '/none', '/bin/true'), 125, 'No such file')
        expect_message(vmm(settings, log, '--disk', image + ':fast', '/bin/true'), 125, 'fast')
        expect_message(vmm(settings, log, '--disk', image + ':iops=0', '/bin/true'), 125, 'iops=0')
        expect_message(vmm(settings, log, '--disk', '/dev/null', '/bin/true'), 125, '/dev/null')
        running = start(settings, '--disk', image, '/bin/sh', '-c', 'echo up; sleep 100')
        wait_line(running.stdout)
        expect_message(vmm(settings, log, '--disk', image, '/bin/true'), 125, 'in use')
        running.kill()
        finish(running, log)
        expect(vmm(settings, log, '--disk', image, '/bin/true'), out=b'')


@check()
def disk_rate_limit(settings, log):
    """bps= and iops= hold on average, after a tenth of a second's worth at once: neither faster nor much slower."""
    with workdir() as path:
        image = make_image(path, 3 << 20)
        result = vmm(settings, log, '--disk', image + ':ro,bps=2M', 'python3', '-c',
                     'import time; t = time.monotonic(); n = len(open("/dev/vda", "rb").read());'
                     'print(n, time.monotonic() - t > 1)')
        expect(result, out=b'3145728 True\n')
        result = vmm(settings, log, '--disk', image + ':ro,iops=200', 'python3', '-c',
                     'import mmap, os, time; fd = os.open("/dev/vda", os.O_RDONLY | os.O_DIRECT); b = mmap.mmap(-1, 4096);'
                     't = time.monotonic(); n = sum(os.preadv(fd, [b], i * 4096) for i in range(220));'
                     't = time.monotonic() - t; print(n, 0.9 < t < 3 or t)')
        expect(result, out=b'901120 True\n')


@check('hw')
def disk_truncated(settings, log):
    """An image that is cut under the device gives EIO; the sandbox goes on."""
    with workdir() as path:
        image = make_image(path, 2 << 20)
        running = start(settings, '--disk', image, 'python3', '-uc', '''
import os
fd = os.open("/dev/vda", os.O_RDONLY)
print("up"); input()
for at in (1 << 20, 0):
    try: print(len(os.pread(fd, 4096, at)))
    except OSError as e: print(e.strerror)
''', stdin=subprocess.PIPE)
        wait_line(running.stdout)
        os.truncate(image, 1 << 16)
        status, out, err = finish_with_input(running, log, b'\n')
        require((status, out) == (0, b'Input/output error\n4096\n'), f'{status} {out!r} {err!r}')


@check()
def disk_mapped_page_forgotten(settings, log):
    """What a mapping changed after it was last written survives that the page leaves the cache."""
    program = '''
import mmap, os
fd = os.open("/dev/vda", os.O_RDWR)
m = mmap.mmap(fd, 4096)
m[:5] = b"first"; m.flush(); m[:5] = b"later"; m.close()
for at in range(1 << 20, 64 << 20, 1 << 20): os.pread(fd, 1 << 20, at)
print(os.pread(fd, 5, 0))
'''
    with workdir() as path:
        image = write_file(os.path.join(path, 'disk.img'), b'')
        os.truncate(image, 64 << 20)
        expect(vmm(settings, log, '--mem', '64M', '--disk', image, 'python3', '-c', program), out=b"b'later'\n")
        with open(image, 'rb') as file:
            require(file.read(5) == b'later', 'the image has not got it')


@check()
def disk_fio(settings, log):
    """fio verifies what it has written: direct, cached, and many at once."""
    if not shutil.which('fio'):
        raise Skip('no fio here')
    for engine in (['psync', '--direct=1'], ['psync'], ['libaio', '--iodepth=16', '--direct=1']):
        with workdir() as path:
            image = make_image(path, 8 << 20)
            result = vmm(settings, log, '--disk', image, '/usr/bin/fio', '--name=v', '--filename=/dev/vda', '--rw=randrw',
                         '--bsrange=512-64k', '--size=8M', '--verify=crc32c', '--verify_fatal=1', '--thread', '--minimal',
                         f'--ioengine={engine[0]}', *engine[1:])
            require(result.status == 0 and b'verify' not in result.out + result.err, f'{engine}: {result.out!r} {result.err!r}')


@check()
def disk_full_of_the_host(settings, log):
    """The host's file system is full below a sparse image: ENOSPC, whichever way it is written; what is there can be read."""
    program = '''
import errno, mmap, os
def err(f, *a):
    try: return f(*a)
    except OSError as e: return errno.errorcode[e.errno]
data = mmap.mmap(-1, 4 << 20); data.write(b"x" * (4 << 20))
direct = os.open("/dev/vda", os.O_RDWR | os.O_DIRECT)
written = sum(n for n in (err(os.pwrite, direct, memoryview(data)[:65536], at) for at in range(0, 4 << 20, 65536)) if n == 65536)
print(err(os.pwrite, direct, memoryview(data)[:65536], 7 << 20), 0 < written <= 1 << 20)
cached = os.open("/dev/vda", os.O_RDWR)
print(err(os.pwrite, cached, data, 4 << 20), err(os.fsync, cached), err(os.fsync, cached))
print(os.pread(cached, 4, 0))
'''
    if os.getuid() != 0:
        raise Skip('needs root, to mount a small file system')
    with workdir() as path:
        folder = os.path.join(path, 'full')
        os.mkdir(folder)
        subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=1M', 'none', folder], check=True)
        try:
            image = write_file(os.path.join(folder, 'disk.img'), b'')
            os.truncate(image, 8 << 20)
            result = vmm(settings, log, '--disk', image, 'python3', '-c', program)
            expect(result, out=b"ENOSPC True\n4194304 ENOSPC None\nb'xxxx'\n")
        finally:
            subprocess.run(['umount', '-l', folder], check=True)  # the disk's ring holds the file a little longer than vmm lives


def finish_with_input(process, log, data):
    process.stdin.write(data)
    process.stdin.flush()
    return finish(process, log)


# --- EROFS -----------------------------------------------------------------------------------------

EROFS_KINDS = {
    'plain': [],
    'chunks': ['--chunksize=4096'],
    'lz4': ['-zlz4hc'],
    'big': ['-zlz4', '-C65536'],
    'legacy': ['-zlz4', '-Elegacy-compress'],
    'no-inline': ['-Enoinline_data', '-x-1'],
}

FIND = '/bin/busybox find / -xdev -type f'


def make_tree(path):
    """A root with busybox in it and files of awkward sizes and kinds."""
    rng = random.Random(7)
    root = os.path.join(path, 'root')
    for directory in ('bin', 'etc', 'data', 'many', 'deep/er/and/deeper', 'dev', 'proc', 'sys', 'tmp'):
        os.makedirs(os.path.join(root, directory))
    with open('/bin/busybox', 'rb') as file:
        write_file(os.path.join(root, 'bin/busybox'), file.read(), 0o755)
    os.symlink('busybox', os.path.join(root, 'bin/sh'))
    for size in (0, 1, 100, 4095, 4096, 4097, 8192, 12345, 70000, 300001):
        write_file(os.path.join(root, f'data/random-{size}'), rng.randbytes(size))
        write_file(os.path.join(root, f'data/text-{size}'), (b'the quick brown fox %d ' % size * (size // 20 + 1))[:size])
    write_file(os.path.join(root, 'data/zeroes'), bytes(500000))
    write_file(os.path.join(root, 'data/mixed'), bytes(40000) + rng.randbytes(9000) + b'ab' * 30000)
    for i in range(600):
        write_file(os.path.join(root, f'many/a-rather-long-file-name-{i}'), str(i) * 3)
    write_file(os.path.join(root, 'deep/er/and/deeper/file'), 'down here\n', 0o640)
    os.mkfifo(os.path.join(root, 'data/fifo'))
    os.link(os.path.join(root, 'data/mixed'), os.path.join(root, 'data/linked'))
    os.symlink('x' * 3000, os.path.join(root, 'data/long-link'))
    return root


def make_erofs(path, root, options):
    image = os.path.join(path, 'root.erofs')
    made = subprocess.run(['mkfs.erofs', '--quiet', '-T1234567890', *options, image, root], capture_output=True)
    if made.returncode:
        raise Failure(f'mkfs.erofs: {made.stderr!r}')
    os.chmod(image, 0o644)
    return image


def host_view(root):
    lines = []
    for directory, _, names in os.walk(root):
        for name in names:
            full = os.path.join(directory, name)
            if os.path.isfile(full) and not os.path.islink(full):
                lines.append(f'{digest(full)}  {full[len(root):]}')
    return sorted(lines)


@check('hw')
def erofs_roots(settings, log):
    """Images of every kind as the root, nothing of the host shared: checksums of all files are the host's."""
    with workdir() as path:
        root = make_tree(path)
        expected = host_view(root)
        for kind, options in EROFS_KINDS.items():
            image = make_erofs(path, root, options)
            result = vmm(settings, log, '--disk', image + ':ro', '--root-disk', 'vda', '/bin/sh', '-c',
                         FIND + ' -exec /bin/busybox sha256sum {} +')
            expect(result)
            got = sorted(result.out.decode().splitlines())
            require(got == expected, f'{kind}: {len(got)} files, first difference '
                    f'{next((pair for pair in zip(got, expected) if pair[0] != pair[1]), None)}')


PACKAGES = ('bash', 'coreutils', 'dash', 'findutils', 'libacl1', 'libattr1', 'libc6', 'libexpat1', 'libgmp10', 'libpcre2-8-0',
            'libpython3-stdlib', 'libpython3.11-minimal', 'libpython3.11-stdlib', 'libselinux1', 'libssl3', 'libtinfo6',
            'python3-minimal', 'python3.11-minimal', 'zlib1g')


def make_debian(path):
    """A root of the files of some packages that are installed here, in Debian's merged layout."""
    root = os.path.join(path, 'root')
    for directory in ('usr/bin', 'usr/lib', 'usr/lib64', 'usr/sbin', 'dev', 'etc', 'proc', 'sys', 'tmp'):
        os.makedirs(os.path.join(root, directory))
    for link in ('bin', 'lib', 'lib64', 'sbin'):
        os.symlink('usr/' + link, os.path.join(root, link))
    names = subprocess.run(['dpkg', '-L', *PACKAGES], capture_output=True, text=True).stdout.split('\n')
    files = [name[1:] for name in names if name and not os.path.isdir(name) and '/share/' not in name and os.path.lexists(name)]
    copied = subprocess.run(f'tar -C / -cf - -T - | tar -C {root} --keep-directory-symlink -xf -', shell=True,
                            input='\n'.join(files).encode(), capture_output=True)
    require(copied.returncode == 0, f'{copied.stderr!r}')
    return root


@check()
def erofs_debian_root(settings, log):
    """bash and python3 from an image of Debian's files; all of them are what the host has."""
    if not os.path.isdir('/var/lib/dpkg/info'):
        raise Skip('no packages here')
    with workdir() as path:
        root = make_debian(path)
        image = make_erofs(path, root, ['-zlz4'])
        result = vmm(settings, log, '--disk', image + ':ro', '--root-disk', 'vda', '/bin/bash', '-c',
                     'python3 -Bc "import json, ssl, sys; print(json.dumps([6 * 7, sys.flags.isolated]))"; ls -d /[a-z]* | wc -l; '
                     'exec find / -xdev -type f -exec sha256sum {} +')
        lines = result.out.decode().splitlines()
        require(lines[:1] == ['[42, 0]'], f'{result.status} {lines[:3]} {result.err!r}')
        got, expected = sorted(lines[2:]), host_view(root)
        require(len(expected) > 500 and got == expected, f'{len(got)} files of {len(expected)}, first difference '
                f'{next((pair for pair in zip(got, expected) if pair[0] != pair[1]), None)}')


@check()
def erofs_long_extents(settings, log):
    """A file in extents of megabytes is unpacked once, not for each step of who reads it."""
    with workdir() as path:
        root = make_tree(path)
        write_file(os.path.join(root, 'data/long'), bytes(20 << 20) + b'not quite the same again ' * 400000)
        image = make_erofs(path, root, ['-zlz4', '-C1048576'])
        name = os.path.join(root, 'data/long')
        started = time.monotonic()
        result = vmm(settings, log, '--disk', image + ':ro', '--root-disk', 'vda', '/bin/busybox', 'sh', '-c',
                     'b=/bin/busybox; $b sha256sum /data/long; $b dd if=/data/long bs=5000 2>/dev/null | $b sha256sum;'
                     '$b dd if=/data/long bs=1000 skip=21000 count=3000 2>/dev/null | $b md5sum')
        with open(name, 'rb') as file:
            data = file.read()
        expected = (f'{digest(name)}  /data/long\n{digest(name)}  -\n{hashlib.md5(data[21000000:24000000]).hexdigest()}  -\n')
        expect(result, out=expected.encode())
        log.write(f'{time.monotonic() - started:.1f} s; once for each step of 512 KiB, or of dd, it would take a minute\n')


@check()
def erofs_attributes(settings, log):
    """Names, modes, links, times; writes go to memory; the host's files aren't there."""
    script = '''
cd /data; stat -c '%n %F %a %s %h' fifo linked zeroes /deep/er/and/deeper/file
readlink long-link | wc -c; stat -c %Y mixed; ls /many | wc -l; ls /many | sort | tail -1
cat /nothing 2>&1; cat /many/a-rather-long-file-name-60 /many/a-rather-long-file-name-600 2>&1; echo
echo changed >>text-100; tail -c 8 text-100; rm mixed; ls mixed linked 2>&1; echo new >/etc/new; cat /etc/new
grep ' / ' /proc/mounts | cut -d' ' -f 1-3; ls /usr 2>&1; dd if=linked bs=7 skip=100 count=1000 2>/dev/null | md5sum
'''
    with workdir() as path:
        image = make_erofs(path, make_tree(path), ['-zlz4'])
        before = digest(image)
        with open(os.path.join(path, 'root/data/mixed'), 'rb') as file:
            part = hashlib.md5(file.read()[700:7700]).hexdigest()
        result = vmm(settings, log, '--disk', image, '--root-disk', 'vda', '/bin/sh', '-c',
                     'for f in stat readlink wc ls sort tail cat rm grep cut dd md5sum; do alias $f="busybox $f"; done;'
                     'PATH=/bin; busybox --install -s /bin 2>/dev/null;' + script)
        expected = f'''fifo fifo 644 0 1
linked regular file 644 109000 2
zeroes regular file 644 500000 1
/deep/er/and/deeper/file regular file 640 10 1
3001
1234567890
600
a-rather-long-file-name-99
cat: can't open '/nothing': No such file or directory
606060cat: can't open '/many/a-rather-long-file-name-600': No such file or directory

changed
ls: mixed: No such file or directory
linked
new
overlay / overlay
ls: /usr: No such file or directory
{part}  -
'''
        expect(result, out=expected.encode())
        require(digest(image) == before, 'the image has been changed')


@check('hw')
def erofs_refused(settings, log):
    """What isn't EROFS, or has features that we don't know, is refused in one line."""
    with workdir() as path:
        image = make_image(path, 1 << 20)
        expect_message(vmm(settings, log, '--disk', image, '--root-disk', 'vda', '/bin/true'), 125, 'vda')
        expect_message(vmm(settings, log, '--disk', image, '--root-disk', 'vdb', '/bin/true'), 125, 'vdb')
        expect_message(vmm(settings, log, '--root-disk', 'vda', '/bin/true'), 125, '--disk')
        expect_message(vmm(settings, log, '--disk', image, '--root-disk', 'sda', '/bin/true'), 125, 'sda')


def run_mutations(settings, log, count, seed):
    """Broken images give errors, never the end of the shim: any status will do but a panic's or a hang."""
    rng = random.Random(seed)
    with workdir() as path:
        root = make_tree(path)
        # the image's own may be broken so that it runs for ever, and so does find where a directory is inside itself
        os.mkdir(os.path.join(path, 'whole'))
        shutil.copy('/bin/busybox', os.path.join(path, 'whole'))
        for kind in ('lz4', 'plain', 'big'):
            with open(make_erofs(path, root, EROFS_KINDS[kind]), 'rb') as file:
                good = file.read()
            for _ in range(count):
                bad = bytearray(good)
                for _ in range(rng.randrange(1, 200)):
                    # metadata is at the beginning and in between: favour the beginning
                    at = rng.randrange(1024, 1200) if rng.randrange(20) == 0 else rng.randrange(len(bad) >> rng.randrange(6))
                    bad[at] = rng.randrange(256)
                image = write_file(os.path.join(path, 'bad.erofs'), bytes(bad))
                result = vmm(settings, log, '--timeout', '20s', '--disk', image, '--root-disk', 'vda', '--bind',
                             f'{path}/whole:/whole', '/whole/busybox', 'find', '/', '-xdev',
                             '-maxdepth', '6', '-type', 'f', '-exec', '/whole/busybox',
                             'md5sum', '{}', '+')
                require(b'panic' not in result.err and b'virtual machine' not in result.err, f'{kind}: {result.err!r}')
                require(b'--timeout' not in result.err, f'{kind}: it hangs')


@check()
def erofs_mutations(settings, log):
    """24 broken images."""
    run_mutations(settings, log, 8, 3)


@check('soak')
def erofs_mutations_many(settings, log):
    """900 broken images."""
    run_mutations(settings, log, 300, 4)
