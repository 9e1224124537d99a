"""--overlay UPPER: changes that stay on the host, in the form of Linux's overlayfs."""

import errno
import os
import shutil
import stat
import subprocess

import __main__ as runner
from checks import check, expect, expect_message, guest, require, vmm, workdir, write_file

Failure, Skip = runner.Failure, runner.Skip


def copy_closure(program, root):
    """
    A program and the libraries that it needs, at their places below root; the tests' own go to /opt, as the sandbox's
    /tmp would hide them in a checkout below the host's. Returns the path in there.
    """
    output = subprocess.run(['ldd', program], capture_output=True, text=True).stdout
    inside = '/opt/' + os.path.basename(program) if program.startswith(runner.TOP) else program
    for path, place in [(program, inside)] + [(word, word) for word in output.split() if word.startswith('/')]:
        os.makedirs(os.path.dirname(root + place), exist_ok=True)
        shutil.copy(path, root + place)
    return inside


def keeps_overlays(folder):
    """False where the file system has no user attributes, as Linux's tmpfs before 6.6; --overlay is refused there."""
    try:
        os.getxattr(folder, 'user.overlay.opaque')
    except OSError as error:
        return error.errno != errno.EOPNOTSUPP
    return True


def snapshot(top):
    """All that a program could see of a tree: names, attributes, links, content; {path: description}."""
    found, numbers = {}, {}
    for folder, folders, files in os.walk(top):
        for name in folders + files:
            path = os.path.join(folder, name)
            st = os.lstat(path)
            what = [stat.filemode(st.st_mode), st.st_uid, st.st_gid]
            if stat.S_ISLNK(st.st_mode):
                what.append(os.readlink(path))
            elif stat.S_ISREG(st.st_mode):
                with open(path, 'rb') as file:
                    what += [st.st_nlink, st.st_mtime_ns // 10 ** 9 < 1_000_000_000 and st.st_mtime_ns, file.read()]
                first = numbers.setdefault(st.st_ino, os.path.relpath(path, top))
                what.append(first if st.st_nlink > 1 else '')
            found[os.path.relpath(path, top)] = what
    return found


def expect_same(want, got, where):
    for path in sorted(want.keys() | got.keys()):
        if want.get(path) != got.get(path):
            raise Failure(f'{where}: {path}: {str(got.get(path))[:300]}, natively {str(want.get(path))[:300]}')


def compare_with_linux(lower, upper, scratch, want):
    """Mount the layers with the host's overlayfs, where it may be mounted, and look at the same tree."""
    with open('/proc/filesystems') as file:
        if os.getuid() != 0 or '\toverlay\n' not in file.read():
            return False
    for name in ('work', 'mnt'):
        os.makedirs(f'{scratch}/{name}', exist_ok=True)
    options = f'lowerdir={lower},upperdir={upper},workdir={scratch}/work,userxattr'
    subprocess.run(['mount', '-t', 'overlay', 'overlay', '-o', options, scratch + '/mnt'], check=True)
    try:
        expect_same(want, snapshot(scratch + '/mnt/data'), 'mount -t overlay')
    finally:
        subprocess.run(['umount', scratch + '/mnt'], check=True)
    return True


SCRIPT = '''cd /data; echo more >> f; rm b; rm -r gone; mkdir gone; echo new > gone/n; mv sub sub2; echo fresh > fresh
ln f hard; ln -s nowhere link2; mkfifo pipe; chmod 600 sub2/g; mv tree moved; mv fresh fresh2; rm sub2/deep/h; mkdir sub
echo back > sub/back; mv moved/x/y y2; mkdir gone2; mv gone2 tree; mv link link3; truncate -s 3 old; rm hole; mkdir hole
touch -d '2001-01-01 00:00:00' gone/n; rmdir empty; mv y2 empty; rm -r cycle; mkdir cycle; rmdir cycle; echo x > cycle'''


def fill(data):
    for name in ('sub/deep', 'gone', 'tree/x/y', 'empty', 'cycle/inner'):
        os.makedirs(f'{data}/{name}')
    for name in ('f', 'b', 'sub/g', 'sub/deep/h', 'gone/a', 'tree/x/1', 'tree/x/y/1', 'tree/x/y/2', 'old', 'hole',
                 'cycle/inner/z'):
        write_file(f'{data}/{name}', name * 1000, 0o640)
        os.utime(f'{data}/{name}', (900000000, 900000000))
    os.symlink('f', data + '/link')


@check()
def overlay_that_is_kept(settings, log):
    with workdir() as top:
        if not keeps_overlays(top):
            raise Skip(f'{top}: no user attributes')
        root = top + '/root'
        fill(root + '/data')
        copy_closure('/bin/busybox', root)
        for name in ('dev', 'proc', 'sys', 'tmp', 'native'):
            os.makedirs(f'{root}/{name}')
        before = snapshot(root)
        os.makedirs(top + '/upper')
        shutil.copytree(root + '/data', top + '/native/data', symlinks=True)
        expect(runner.run(['busybox', 'sh', '-c', SCRIPT.replace('/data', top + '/native/data')]), 0, b'', b'')
        want = snapshot(top + '/native/data')
        arguments = ['--root', root, '--overlay', top + '/upper', '--app', '/bin/busybox', '--', 'sh', '-c']
        expect(vmm(settings, log, *arguments, SCRIPT), 0, b'', b'')
        mounted = compare_with_linux(root, top + '/upper', top, want)
        # and a second sandbox finds what the first has left
        listing = 'cd /data; find . | sort; find . -type f | sort | xargs md5sum; stat -c "%n %a %s" f sub2/g gone/n'
        second = expect(vmm(settings, log, *arguments, listing), 0, None, b'')
        native = runner.run(['busybox', 'sh', '-c', listing.replace('/data', top + '/native/data')])
        require(second.out == native.out, 'the second sandbox:\n' + runner.difference(native.out, second.out))
        expect_same(before, snapshot(root), 'the lower layer')
        log.write(f'mounted by Linux: {mounted}\n')


@check()
def overlay_random_operations(settings, log):
    """What fsops does on a filled tree is the same natively and on the overlay, and Linux then sees the same tree."""
    with workdir() as top:
        if not keeps_overlays(top):
            raise Skip(f'{top}: no user attributes')
        root, program = top + '/root', guest(settings, 'fsops')
        inside = copy_closure(program, root)
        for name in ('dev', 'proc', 'sys', 'tmp', 'data'):
            os.makedirs(f'{root}/{name}')
        runner.run([program, '11', '500', root + '/data'])
        shutil.copytree(root + '/data', top + '/native/data', symlinks=True)
        os.makedirs(top + '/upper')
        for seed in ('12', '13'):
            want = runner.run([program, seed, '1500', top + '/native/data'])
            got = vmm(settings, log, '--root', root, '--overlay', top + '/upper', '--app', inside, '--', seed, '1500', '/data')
            if got.out != want.out or got.err:
                raise Failure(f'seed {seed}: {got.err!r}\n' + runner.difference(want.out, got.out))
            compare_with_linux(root, top + '/upper', top, snapshot(top + '/native/data'))


@check('hw')
def overlay_usage(settings, log):
    with workdir() as top:
        for name in ('root/inner', 'upper'):
            os.makedirs(f'{top}/{name}')
        expect_message(vmm(settings, log, '--overlay', top + '/upper', '/bin/true'), 125, '--root')
        for upper, word in ((top + '/none', 'none'), (top + '/root/inner', 'contain'), (top, 'contain'),
                            ('/proc', 'user extended attributes')):
            expect_message(vmm(settings, log, '--root', top + '/root', '--overlay', upper, '/bin/true'), 125, word)
