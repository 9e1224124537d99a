"""Options that change what the program sees, and limits."""

import os
import re
import shutil
import stat
import time

import __main__ as runner
from checks import check, expect, expect_message, require, shell, vmm, workdir, write_file


# --- options that change what the program sees --------------------------------------------------


@check()
def environment(settings, log):
    host = dict(runner.ENVIRONMENT, SECRET='s', LC_ALL='C', TZ='UTC', EXTRA='e')
    def names(*options):
        result = expect(vmm(settings, log, *options, '--app', '/usr/bin/env', env=host), 0, err=b'')
        return dict(line.split('=', 1) for line in result.out.decode().splitlines())
    require(names() == dict(runner.ENVIRONMENT, LC_ALL='C', TZ='UTC'), f'default environment: {names()}')
    require(names('--env', 'A=b c')['A'] == 'b c', '--env K=V')
    require(names('--env', 'EXTRA').get('EXTRA') == 'e', '--env K copies')
    require('NOT_SET' not in names('--env', 'NOT_SET'), '--env K of an unset variable')
    require(names('--env', 'HOME=/x')['HOME'] == '/x', '--env replaces')
    require(names('--env-all') == host, '--env-all')


@check()
def working_directory(settings, log):
    expect(vmm(settings, log, *shell('pwd')), 0, b'/\n', b'')
    expect(vmm(settings, log, '--cwd', '/usr/share', *shell('pwd')), 0, b'/usr/share\n', b'')
    expect(vmm(settings, log, *shell('pwd'), cwd='/usr'), 0, b'/\n', b'')


@check()
def identity(settings, log):
    expect(vmm(settings, log, '--app', '/bin/busybox', '--', 'id', '-u'), 0, b'0\n', b'')
    expect(vmm(settings, log, '--uid', '1234', '--gid', '55', '--app', '/bin/busybox', '--', 'id', '-u'), 0, b'1234\n', b'')
    expect(vmm(settings, log, '--uid', '1234', '--gid', '55', '--app', '/bin/busybox', '--', 'id', '-g'), 0, b'55\n', b'')
    expect(vmm(settings, log, '--hostname', 'box-7', '--app', '/bin/busybox', '--', 'hostname'), 0, b'box-7\n', b'')
    expect(vmm(settings, log, '--hostname', 'box-7', '--app', '/bin/busybox', '--', 'uname', '-n'), 0, b'box-7\n', b'')


@check()
def view_of_the_host(settings, log):
    """Without --root: the system's programs, synthesised /etc files, and nothing private."""
    for path in ('/root', '/home', '/etc/shadow', '/etc/ssh', '/var/log', '/etc/hostname-of-host', '/sys/kernel/debug',
                 '/dev/kvm', '/dev/vda', '/etc/sudoers', '/boot', '/run/systemd'):
        result = vmm(settings, log, '--app', '/bin/busybox', '--', 'ls', '-A', path)
        require(result.status != 0 or result.out == b'', f'{path} shows {runner.shorten(result.out)!r}')
    for path in ('/usr/bin', '/lib', '/etc/passwd', '/etc/group', '/etc/hosts', '/etc/resolv.conf', '/proc/self', '/tmp',
                 '/dev/null'):
        expect(vmm(settings, log, '--app', '/bin/busybox', '--', 'ls', '-d', path), 0, path.encode() + b'\n', b'')
    result = expect(vmm(settings, log, '--app', '/bin/busybox', '--', 'cat', '/etc/passwd'), 0, err=b'')
    require(result.out.startswith(b'root:'), f'/etc/passwd is {result.out!r}')
    expect(vmm(settings, log, '--app', '/bin/busybox', '--', 'cat', '/etc/shadow'), 1, b'')


@check('hw')
def bind_read_only(settings, log):
    with workdir() as folder:
        write_file(folder + '/a', 'from the host\n')
        os.mkdir(folder + '/sub')
        write_file(folder + '/sub/b', 'deeper\n')
        expect(vmm(settings, log, '--bind', f'{folder}:/data', *shell('read l < /data/a; echo $l; read l < /data/sub/b; echo $l')),
               0, b'from the host\ndeeper\n', b'')
        # ro unless rw is said: writes go nowhere on the host
        vmm(settings, log, '--bind', f'{folder}:/data', *shell('echo x > /data/new; echo y > /data/a'))
        vmm(settings, log, '--bind', f'{folder}:/data:ro', *shell('echo x > /data/new; echo y > /data/a'))
        require(sorted(os.listdir(folder)) == ['a', 'sub'], f'the bound directory now has {os.listdir(folder)}')
        with open(folder + '/a') as file:
            require(file.read() == 'from the host\n', 'the bound file was written to')
        # a single file; a deep mount point that does not exist
        expect(vmm(settings, log, '--bind', f'{folder}/a:/deep/er/file', *shell('read l < /deep/er/file; echo $l')), 0,
               b'from the host\n', b'')


@check()
def bind_read_write(settings, log):
    for cache in ('', ',cache=exclusive', ',cache=shared', ',cache=none'):
        with workdir() as folder:
            write_file(folder + '/a', 'old\n')
            script = ('cd /data; echo new > n; echo more >> a; read l < a; echo $l')
            expect(vmm(settings, log, '--bind', f'{folder}:/data:rw{cache}', *shell(script)), 0, b'old\n', b'')
            require(open(folder + '/n').read() == 'new\n', 'a new file did not arrive')
            require(open(folder + '/a').read() == 'old\nmore\n', f'a holds {open(folder + "/a").read()!r}')
            python = ('import os; os.chdir("/data"); os.mkdir("d"); os.rename("n", "d/m"); os.symlink("x", "s"); '
                      'os.link("a", "h"); os.chmod("a", 0o600); os.truncate("a", 2); os.utime("a", (5, 6)); '
                      'open("big", "wb").write(b"z" * 3000000); os.remove("h"); print(sorted(os.listdir(".")))')
            expect(vmm(settings, log, '--bind', f'{folder}:/data:rw{cache}', '--app', '/usr/bin/python3', '--', '-c', python),
                   0, b"['a', 'big', 'd', 's']\n", b'')
            require(os.listdir(folder + '/d') == ['m'], 'rename into a new directory')
            require(os.readlink(folder + '/s') == 'x', 'symlink')
            st = os.stat(folder + '/a')
            require((stat.S_IMODE(st.st_mode), st.st_size, st.st_mtime) == (0o600, 2, 6), f'attributes of a: {st}')
            require(os.path.getsize(folder + '/big') == 3000000, 'a large write')


@check('hw')
def bind_stays_inside(settings, log):
    """Symbolic links of a share are the sandbox's: they never reach other files of the host."""
    with workdir() as outer:
        write_file(outer + '/secret', 'secret\n')
        folder = outer + '/share'
        os.mkdir(folder)
        os.symlink('../secret', folder + '/up')
        os.symlink(outer + '/secret', folder + '/absolute')
        os.symlink('/etc/hostname', folder + '/etc')
        for name in ('up', 'absolute', '../secret', 'x/../../secret'):
            result = vmm(settings, log, '--bind', f'{folder}:/data:rw', '--app', '/bin/busybox', '--', 'cat', '/data/' + name)
            require(result.status == 1 and b'secret\n' not in result.out, f'{name} gave {result.out!r}')


@check()
def later_mounts_over_earlier(settings, log):
    with workdir() as a, workdir() as b:
        write_file(a + '/f', 'a\n')
        write_file(b + '/f', 'b\n')
        expect(vmm(settings, log, '--bind', f'{a}:/m', '--bind', f'{b}:/m', *shell('read l < /m/f; echo $l')), 0, b'b\n', b'')
        expect(vmm(settings, log, '--bind', f'{a}:/m', '--bind', f'{b}:/m/deep', *shell('read l < /m/deep/f; echo $l')), 0,
               b'b\n', b'')
        expect(vmm(settings, log, '--bind', f'{a}:/m', '--tmpfs', '/m', *shell('test -e /m/f; echo $?')), 0, b'1\n', b'')
        expect(vmm(settings, log, '--tmpfs', '/m/x', '--bind', f'{a}:/m/x/y', *shell('read l < /m/x/y/f; echo $l')), 0,
               b'a\n', b'')


@check()
def tmpfs_option(settings, log):
    expect(vmm(settings, log, '--tmpfs', '/usr/share', *shell('echo hi > /usr/share/x; read l < /usr/share/x; echo $l /usr/share/*')),
           0, b'hi /usr/share/x\n', b'')


@check()
def root_option(settings, log):
    with workdir() as root:
        os.makedirs(root + '/bin')
        shutil.copy('/bin/busybox', root + '/bin/busybox')
        write_file(root + '/hello', 'from the root\n')
        expect(vmm(settings, log, '--root', root, '--app', '/bin/busybox', '--', 'cat', '/hello'), 0, b'from the root\n', b'')
        result = expect(vmm(settings, log, '--root', root, '--app', '/bin/busybox', '--', 'ls', '/'), 0, err=b'')
        require(b'usr' not in result.out.split(), f'/ of --root shows {result.out!r}')
        expect(vmm(settings, log, '--root', root, '--app', '/bin/busybox', '--', 'sh', '-c', 'echo x > /new; echo y > /hello; read l < /hello; echo $l'), 0, b'y\n', b'')
        require(sorted(os.listdir(root)) == ['bin', 'hello'], f'the root was written to: {os.listdir(root)}')
        expect_message(vmm(settings, log, '--root', root, '/usr/bin/env'), 127, '/usr/bin/env')
        # absolute links are resolved inside the root
        os.symlink('/hello', root + '/link')
        os.symlink('../../../../etc/passwd', root + '/escape')
        expect(vmm(settings, log, '--root', root, '--app', '/bin/busybox', '--', 'cat', '/link'), 0, b'from the root\n', b'')
        expect(vmm(settings, log, '--root', root, '--app', '/bin/busybox', '--', 'cat', '/escape'), 1, b'')


# --- limits -------------------------------------------------------------------------------------


@check('hw')
def timeout_option(settings, log):
    begin = time.monotonic()
    result = vmm(settings, log, '--timeout', '1', '--app', '/bin/busybox', '--', 'sleep', '100')
    took = time.monotonic() - begin
    require(took < 10 * settings.slow, f'took {took:.1f} s')
    require(result.status in (124, 137), f'status {result.status}')
    require(re.fullmatch(rb'vmm: [^\n]*time[^\n]*\n', result.err), f'stderr {result.err!r}')
    begin = time.monotonic()
    result = vmm(settings, log, '--timeout', '500ms', *shell('while :; do :; done'))
    require(result.status in (124, 137), f'a busy program: status {result.status}')
    expect(vmm(settings, log, '--timeout', '1m', '/bin/true'), 0, b'', b'')


@check()
def cpu_time_option(settings, log):
    result = vmm(settings, log, '--cpu-time', '1', '--timeout', '30', *shell('while :; do :; done'))
    require(result.status in (124, 137, 152), f'status {result.status}')
    require(b'vmm: ' in result.err and b'cpu' in result.err.lower(), f'stderr {result.err!r}')
    expect(vmm(settings, log, '--cpu-time', '1', '--app', '/bin/busybox', '--', 'sleep', '1.5'), 0, b'', b'')


@check('hw')
def memory_option(settings, log):
    """--mem is a real limit: ENOMEM where a call can fail, else SIGKILL with a message."""
    grab = 'import sys\ntry:\n  x = bytearray({} << 20)\n  print(len(x) >> 20)\nexcept MemoryError:\n  print("refused")'
    expect(vmm(settings, log, '--mem', '256M', '--app', '/usr/bin/python3', '--', '-c', grab.format(100)), 0, b'100\n', b'')
    result = vmm(settings, log, '--mem', '128M', '--app', '/usr/bin/python3', '--', '-c', grab.format(400))
    if result.status == 0:
        expect(result, 0, b'refused\n', b'')
    else:
        require(result.status == 137 and b'memory' in result.err.lower(), f'status {result.status}, stderr {result.err!r}')
    result = vmm(settings, log, '--mem', '64M', *shell('x=0123456789abcdef; while :; do x=$x$x; done'), timeout=120)
    require(result.status not in (0, 125), f'an endless string: status {result.status}, {runner.shorten(result.err)}')
    result = expect(vmm(settings, log, '--mem', '64M', '--app', '/bin/busybox', '--', 'grep', 'MemTotal', '/proc/meminfo'), 0)
    total = int(result.out.split()[1])
    require(32 << 10 <= total <= 64 << 10, f'MemTotal is {total} KiB with --mem 64M')
    # files in tmpfs count too, and end with ENOSPC or ENOMEM
    result = vmm(settings, log, '--mem', '64M', '--app', '/bin/busybox', '--', 'dd', 'if=/dev/zero', 'of=/tmp/x', 'bs=1M', 'count=200')
    require(result.status == 1 and (b'No space' in result.err or b'memory' in result.err), f'tmpfs: {result.status} {result.err!r}')


@check()
def fsize_option(settings, log):
    with workdir() as folder:
        result = vmm(settings, log, '--fsize', '1M', '--bind', f'{folder}:/data:rw', '--app', '/bin/busybox', '--', 'dd',
                     'if=/dev/zero', 'of=/data/x', 'bs=64k', 'count=100')
        require(result.status in (1, 153), f'status {result.status}')
        require(os.path.getsize(folder + '/x') <= 1 << 20, f'{os.path.getsize(folder + "/x")} bytes were written')


@check()
def pids_option(settings, log):
    python = ('import threading, time\nn = 0\ntry:\n  for _ in range(100):\n    threading.Thread(target=time.sleep, args=(0.5,)).start(); n += 1\n'
              'except RuntimeError: print("refused", n < 30)')
    expect(vmm(settings, log, '--pids', '16', '--app', '/usr/bin/python3', '--', '-c', python), 0, b'refused True\n', b'')
