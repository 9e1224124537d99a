"""What the command line promises: statuses, messages, options, stdio, signals, and what happens when things die.

Each function is a case of run.py: `function(settings, log)`, which raises Failure or Skip, or returns.
Those that need no sandbox to run programs (bad input) still start vmm.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import pty
import re
import select
import shutil
import signal
import stat
import struct
import subprocess
import sys
import tempfile
import termios
import time

import __main__ as runner

Failure, Skip = runner.Failure, runner.Skip
CHECKS = []


def check(*flags):
    def add(function):
        function.flags = flags
        CHECKS.append(function)
        return function
    return add


# --- helpers -----------------------------------------------------------------------------------


def vmm(settings, log, *arguments, **options):
    """Run vmm to its end with these arguments; the result is logged."""
    options.setdefault('timeout', 60 * settings.slow)
    result = runner.run([settings.vmm, *arguments], **options)
    runner.log_result(log, ' '.join(('vmm',) + arguments), result)
    if result.timed_out:
        raise Failure(f'vmm {" ".join(arguments)}: no end after {options["timeout"]:.0f} s:\n{result.hung}')
    if result.killed_by:
        raise Failure(f'vmm {" ".join(arguments)}: vmm itself was ended by signal {result.killed_by}')
    return result


def expect(result, status=0, out=None, err=None):
    """Compare a result with a status and, where given, exact outputs (bytes)."""
    problems = []
    if result.status != status:
        problems.append(f'exit status {result.status}, expected {status}')
    if out is not None and result.out != out:
        problems.append(f'stdout {runner.shorten(result.out)!r}, expected {runner.shorten(out)!r}')
    if err is not None and result.err != err:
        problems.append(f'stderr {runner.shorten(result.err)!r}, expected {runner.shorten(err)!r}')
    if problems:
        if err is None and result.err:
            problems.append('stderr: ' + runner.shorten(result.err))
        raise Failure('; '.join(problems))
    return result


def expect_message(result, status, *words):
    """A refusal: this status, nothing on stdout, and one line `vmm: what: why` with these words."""
    expect(result, status, out=b'')
    text = result.err.decode('utf-8', 'replace')
    if not re.fullmatch(r'vmm: [^\n]+: [^\n]+\n', text):
        raise Failure(f'stderr is not one line `vmm: what: why`: {text!r}')
    for word in words:
        if word not in text:
            raise Failure(f'the message does not name {word!r}: {text!r}')
    return result


def require(condition, text):
    if not condition:
        raise Failure(text)


@contextlib.contextmanager
def workdir():
    """A directory on the host, outside the sandbox's view, removed afterwards."""
    path = tempfile.mkdtemp(prefix='e2e-', dir=os.path.join(runner.TOP, 'build') if
                            os.path.isdir(os.path.join(runner.TOP, 'build')) else None)
    os.chmod(path, 0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def write_file(path, data, mode=0o644):
    with open(path, 'wb') as file:
        file.write(data if isinstance(data, bytes) else data.encode())
    os.chmod(path, mode)
    return path


def start(settings, *arguments, **options):
    """Start vmm without waiting for it."""
    options.setdefault('stdin', subprocess.DEVNULL)
    options.setdefault('stdout', subprocess.PIPE)
    options.setdefault('stderr', subprocess.PIPE)
    options.setdefault('env', runner.ENVIRONMENT)
    return subprocess.Popen([settings.vmm, *arguments], cwd='/', start_new_session=True, restore_signals=True,
                            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL), **options)


def finish(process, log, timeout=30):
    """Wait for a started vmm. Returns (status, stdout, stderr); fails if it does not end."""
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise Failure(f'vmm did not end within {timeout} s')
    log.write(f'status {process.returncode}\n{out!r}\n{err!r}\n')
    return process.returncode, out, err


def wait_line(stream, timeout=30):
    """The next line of a started vmm's output."""
    deadline = time.monotonic() + timeout
    line = b''
    while not line.endswith(b'\n'):
        ready, _, _ = select.select([stream], [], [], max(0, deadline - time.monotonic()))
        if not ready:
            raise Failure(f'no line within {timeout} s; so far {line!r}')
        byte = os.read(stream.fileno(), 1)
        if not byte:
            raise Failure(f'end of output after {line!r}')
        line += byte
    return line


def descendants(pid):
    """All processes below pid."""
    found = []
    for child in open(f'/proc/{pid}/task/{pid}/children').read().split():
        found += [int(child)] + descendants(int(child))
    return found


def gofer_of(process):
    """The pid of the gofer of a started vmm: the process below it that is not a zombie, by name if it has one."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        below = descendants(process.pid)
        named = [pid for pid in below if 'gofer' in open(f'/proc/{pid}/comm').read()]
        if named or below:
            return (named or below)[-1]
        time.sleep(0.01)
    raise Failure('vmm has no gofer process')


def gone(pid, timeout=5):
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        try:
            with open(f'/proc/{pid}/stat') as file:
                if file.read().rsplit(')', 1)[1].split()[0] == 'Z':
                    return True
        except FileNotFoundError:
            return True
        time.sleep(0.01)
    return False


def shell(*words):
    return ('--app', '/bin/dash', '--', '-c', ' '.join(words))


def guest(settings, name):
    path = os.path.join(settings.guest_dir, name)
    if not os.access(path, os.X_OK):
        raise Skip(f'{path}: not built')
    return path


# --- how it is called --------------------------------------------------------------------------


@check('hw')
def help_fits_a_screen(settings, log):
    result = expect(vmm(settings, log, '--help'), 0, err=b'')
    lines = result.out.decode().splitlines()
    require(len(lines) <= 50, f'--help has {len(lines)} lines')
    require(all(len(line) <= 100 for line in lines), '--help has lines over 100 columns')
    for option in ('--app', '--root', '--bind', '--tmpfs', '--env', '--env-all', '--cwd', '--uid', '--gid', '--hostname',
                   '--mem', '--timeout', '--cpu-time', '--pids', '--fsize', '--strace', '--report', '--stats', '--profile', '--quiet', '--version'):
        require(option in result.out.decode(), f'--help does not name {option}')


@check('hw')
def version(settings, log):
    result = expect(vmm(settings, log, '--version'), 0, err=b'')
    require(re.match(rb'vmm \d+\.\d+', result.out), f'--version says {result.out!r}')
    result = expect(vmm(settings, log, '--version', '--verbose'), 0)
    for word in ('seccomp', 'namespace'):
        require(word in result.out.decode().lower(), f'--version --verbose does not say what of {word} is active')


@check()
def both_forms_of_the_command(settings, log):
    expect(vmm(settings, log, '--app', '/bin/echo', '--', 'a', '--mem'), 0, b'a --mem\n', b'')
    expect(vmm(settings, log, '--app', '/bin/echo', 'a', 'b'), 0, b'a b\n', b'')
    expect(vmm(settings, log, '/bin/echo', 'c', '-n'), 0, b'c -n\n', b'')
    expect(vmm(settings, log, '--mem=128M', '--', '/bin/echo', '--help'), 0, None, b'')
    expect(vmm(settings, log, 'echo', 'by', 'PATH'), 0, b'by PATH\n', b'')


@check()
def program_outside_the_view(settings, log):
    with workdir() as folder:
        shutil.copy('/bin/busybox', folder + '/my-prog')
        expect(vmm(settings, log, '--app', folder + '/my-prog', '--', 'echo', 'hi'), 127, b'')  # busybox: no such applet
        shutil.copy('/bin/busybox', folder + '/busybox')
        expect(vmm(settings, log, '--app', folder + '/busybox', '--', 'echo', 'hi'), 0, b'hi\n', b'')
        expect(vmm(settings, log, './busybox', 'echo', 'hi', cwd=folder), 0, b'hi\n', b'')
        # it is bound read-only, and its neighbours are not there
        write_file(folder + '/secret', 'x')
        result = vmm(settings, log, './busybox', 'cat', folder + '/secret', cwd=folder)
        expect(result, 1, b'')
        vmm(settings, log, './busybox', 'sh', '-c', f'echo > {folder}/busybox', cwd=folder)
        require(os.path.getsize(folder + '/busybox') > 1000, 'the program of the host was written to')
    # places where the sandbox has an empty directory of its own, as it has for /home and /root
    for place in ('/tmp', '/var/tmp'):
        with tempfile.TemporaryDirectory(dir=place) as folder:
            os.chmod(folder, 0o755)
            shutil.copy('/bin/busybox', folder + '/busybox')
            expect(vmm(settings, log, './busybox', 'ls', place, cwd=folder), 0, os.path.basename(folder).encode() + b'\n', b'')


@check('hw')
def no_program_given(settings, log):
    expect_message(vmm(settings, log), 125)
    expect_message(vmm(settings, log, '--mem', '128M'), 125)


@check('hw')
def unknown_option(settings, log):
    expect_message(vmm(settings, log, '--no-such-option', '/bin/true'), 125, 'no-such-option')
    expect_message(vmm(settings, log, '-Z', '/bin/true'), 125, 'Z')
    expect_message(vmm(settings, log, '--mem'), 125, 'mem')


@check('hw')
def bad_values(settings, log):
    for option, value in (('--mem', '12Q'), ('--mem', ''), ('--mem', '-5'), ('--mem', '99999999999999999999'),
                          ('--mem', 'abc'), ('--timeout', 'soon'), ('--timeout', '-1'), ('--timeout', '5parsecs'),
                          ('--cpu-time', 'x'), ('--pids', '0'), ('--pids', 'many'), ('--fsize', 'big'),
                          ('--uid', 'root!'), ('--uid', '-1'), ('--gid', '4294967296'), ('--bind', ''),
                          ('--bind', '/usr'), ('--bind', '/usr:relative'), ('--bind', '/usr:/x:nonsense'),
                          ('--bind', '/usr:/x:cache=maybe'), ('--tmpfs', 'relative'), ('--cwd', 'relative'),
                          ('--env', '=x'), ('--env', '')):
        try:
            expect_message(vmm(settings, log, option, value, '/bin/true'), 125)
        except Failure as failure:
            raise Failure(f'{option} {value!r}: {failure}')


@check('hw')
def memory_too_small(settings, log):
    expect_message(vmm(settings, log, '--mem', '4096', '/bin/true'), 125, 'mem')
    expect_message(vmm(settings, log, '--mem', '0', '/bin/true'), 125, 'mem')


@check('hw')
def program_missing(settings, log):
    expect_message(vmm(settings, log, '--app', '/nonexistent/program'), 127, '/nonexistent/program')
    expect_message(vmm(settings, log, '--app', 'no-such-program'), 127, 'no-such-program')
    expect_message(vmm(settings, log, '--app', './no-such-program'), 127, 'no-such-program')


@check()
def program_not_executable(settings, log):
    with workdir() as folder:
        path = write_file(folder + '/data', 'not a program\n')
        expect_message(vmm(settings, log, '--app', path), 126, path)
        expect_message(vmm(settings, log, '--app', write_file(folder + '/nonsense', 'nonsense\n', 0o755)), 126)
        expect_message(vmm(settings, log, '--app', write_file(folder + '/empty', '', 0o755)), 126)
        expect_message(vmm(settings, log, '--app', folder), 126, folder)
        expect_message(vmm(settings, log, '--app', '/usr'), 126, '/usr')
        result = vmm(settings, log, '--app', '/bin/true/x')
        expect_message(result, result.status if result.status in (126, 127) else 126, '/bin/true/x')


@check()
def program_broken(settings, log):
    with open(guest(settings, 'hello-static'), 'rb') as file:
        elf = file.read()
    with workdir() as folder:
        def variant(name, data):
            return write_file(f'{folder}/{name}', data, 0o755)
        for name, data in (
                ('header-cut', elf[:40]), ('after-header', elf[:64]), ('cut', elf[:5000]),
                ('half', elf[:len(elf) // 2]),
                ('aarch64', elf[:18] + b'\xb7\0' + elf[20:]),
                ('elf32', elf[:4] + b'\1' + elf[5:]),
                ('big-endian', elf[:5] + b'\2' + elf[6:]),
                ('relocatable', elf[:16] + b'\1\0' + elf[18:]),
                ('phnum-huge', elf[:56] + b'\xff\xff' + elf[58:]),
                ('phoff-outside', elf[:32] + b'\xff' * 8 + elf[40:]),
                ('phentsize', elf[:54] + b'\1\0' + elf[56:])):
            try:
                result = vmm(settings, log, '--app', variant(name, data))
                # a file that lost only data past its headers may be loaded by Linux and then fault
                if name in ('half', 'cut') and result.status in (135, 139):
                    continue
                expect_message(result, 126)
            except Failure as failure:
                raise Failure(f'{name}: {failure}')


@check()
def interpreter_missing(settings, log):
    with workdir() as folder:
        path = write_file(folder + '/script', '#!/nonexistent/interpreter\n', 0o755)
        expect_message(vmm(settings, log, '--app', path), 127, 'interpreter')
        with open('/usr/bin/env', 'rb') as file:
            elf = file.read()
        at = elf.index(b'/lib64/ld-linux-x86-64.so.2')
        path = write_file(folder + '/program', elf[:at] + b'/lib64/ld-missing-86-64.so.2'[:27] + elf[at + 27:], 0o755)
        expect_message(vmm(settings, log, '--app', path), 127)


@check('hw')
def bind_of_a_missing_source(settings, log):
    expect_message(vmm(settings, log, '--bind', '/nonexistent/source:/x', '/bin/true'), 125, '/nonexistent/source')
    expect_message(vmm(settings, log, '--root', '/nonexistent/root', '/bin/true'), 125, '/nonexistent/root')
    expect_message(vmm(settings, log, '--cwd', '/nonexistent', '/bin/true'), 125, '/nonexistent')
    expect_message(vmm(settings, log, '--report', '/nonexistent/report', '/bin/true'), 125, '/nonexistent/report')
    expect_message(vmm(settings, log, '--strace=/nonexistent/trace', '/bin/true'), 125, '/nonexistent/trace')


@check()
def no_kvm(settings, log):
    """Without /dev/kvm, or without permission for it: a message with the reason."""
    if os.getuid() != 0:
        raise Skip('needs root')
    absent = 'mount -t tmpfs none /dev && exec "$0" /bin/true'
    forbidden = ('mount -t tmpfs -o mode=755 none /dev && mknod -m 600 /dev/kvm c 10 232 && '
                 'exec setpriv --reuid 65534 --regid 65534 --clear-groups "$0" /bin/true')
    with tempfile.TemporaryDirectory(dir='/tmp') as folder:
        os.chmod(folder, 0o755)  # the checkout may be out of another user's reach
        copy = shutil.copy(settings.vmm, folder + '/program')
        for script in (absent, forbidden):
            result = runner.run(['unshare', '-m', 'sh', '-c', script, copy])
            runner.log_result(log, script, result)
            expect_message(result, 125, '/dev/kvm')


@check()
def as_an_ordinary_user(settings, log):
    if os.getuid() != 0:
        raise Skip('is what all the tests are')
    # a private /dev in which everybody may open kvm
    script = ('mount -t tmpfs -o mode=755 none /dev && mknod -m 666 /dev/kvm c 10 232 && mknod -m 666 /dev/null c 1 3 && '
              'mknod -m 666 /dev/zero c 1 5 && mknod -m 666 /dev/urandom c 1 9 && ')
    with tempfile.TemporaryDirectory(dir='/tmp') as folder:
        os.chmod(folder, 0o755)
        copy = shutil.copy(settings.vmm, folder + '/program')
        os.chmod(copy, 0o755)
        result = runner.run(['unshare', '-m', 'sh', '-c', script + 'exec setpriv --reuid 65534 --regid 65534 --clear-groups '
                             '"$0" /bin/busybox sh -c "read l < /etc/passwd; echo > /tmp/x; echo done"', copy])
        runner.log_result(log, 'user', result)
        expect(result, 0, b'done\n', b'')


# --- options that change what the program sees --------------------------------------------------------


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


# --- limits ------------------------------------------------------------------------------------


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


# --- tracing and reports ------------------------------------------------------------------------


@check()
def strace_option(settings, log):
    result = expect(vmm(settings, log, '--strace', '/bin/echo', 'hi'), 0, b'hi\n')
    for word in (b'openat(', b'write(1, ', b'exit_group(0)'):
        require(word in result.err, f'{word!r} is missing in the trace')
    with workdir() as folder:
        expect(vmm(settings, log, f'--strace={folder}/trace', '/bin/echo', 'hi'), 0, b'hi\n', b'')
        require(b'write(1, ' in open(folder + '/trace', 'rb').read(), 'no write in the trace file')
        # what the program says is escaped before it reaches a terminal
        result = vmm(settings, log, '--strace', '--app', '/bin/busybox', '--', 'ls', '\x1b[31mred\n')
        require(b'\x1b' not in result.err.replace(b'ls: \x1b[31mred', b''), 'an escape sequence in the trace')


@check('hw')
def report_option(settings, log):
    with workdir() as folder:
        path = folder + '/report.json'
        expect(vmm(settings, log, '--report', path, *shell('exit 3')), 3, b'', b'')
        with open(path) as file:
            report = json.load(file)
        log.write(json.dumps(report, indent=1) + '\n')
        flat = json.dumps(report).lower()
        for word in ('status', 'wall', 'cpu', 'mem', 'calls', 'exits', 'gofer'):
            require(word in flat, f'the report has nothing about {word}')
        require(3 in report.values() or 3 in [v for r in report.values() if isinstance(r, dict) for v in r.values()],
                'the exit status is not in the report')
        expect(vmm(settings, log, '--report', path, '--app', guest(settings, 'ends'), 'segv'), 139)
        with open(path) as file:
            report = json.load(file)
        require('signal' in json.dumps(report), 'no signal in the report')
        require(stat.S_IMODE(os.stat(path).st_mode) & 0o133 == 0, 'mode of the report')


@check('hw')
def rewritten_call_sites(settings, log):
    """Calls that come often don't trap, unless told so, and the program sees no difference."""
    with workdir() as folder:
        path = folder + '/report.json'
        outputs = []
        for options in ([], ['--no-rewrite'], ['--debug-kick-us', '100']):
            result = expect(vmm(settings, log, *options, '--report', path, '--app', guest(settings, 'rewrite'), timeout=120), 0)
            outputs.append(result.out)
            with open(path) as file:
                counts = json.load(file)['guest']
            log.write(f'{counts}\n')
            if '--no-rewrite' in options:
                require(counts['rewritten_sites'] == 0 and counts['traps'] == counts['syscalls'], 'sites were rewritten')
            else:
                require(counts['rewritten_sites'] > 10, 'sites were not rewritten')
        require(outputs[0] == outputs[1] == outputs[2], 'the outputs differ')


def stats_of(settings, log, path, *command):
    """The table of --stats as a dictionary, without the exits that the clock and other kicks cause."""
    expect(vmm(settings, log, '--stats=' + path, *command), 0)
    with open(path) as file:
        text = file.read()
    log.write(text)
    rows = dict(re.findall(r'^ *(\S.*?) +(\d+) +[\d.]+(?: +[\d.]+)?$', text, re.M))
    rows = {name: int(value) for name, value in rows.items()}
    kicks = rows.get('exit: kick', 0) + rows.get('exit: hypercall DEADLINE', 0)
    return rows, rows['exits'] - kicks


@check('hw')
def stats_option(settings, log):
    """A warm getpid and a warm read of a cached file take no exit; /bin/true takes 40 from start to end at most."""
    with workdir() as folder:
        path = folder + '/stats'
        rows, exits = stats_of(settings, log, path, '/bin/true')
        require(rows['exit: hypercall EXIT'] == 1 and rows['system calls'] > 10, f'the table is wrong: {rows}')
        # a doorbell wakes a gofer that sleeps, WAIT is for one that is slow: how many there are depends on the host
        waits = rows.get('exit: doorbell', 0) + rows.get('exit: hypercall WAIT', 0)
        require(exits - waits <= 12, f'/bin/true takes {exits} exits, {waits} of them with the gofer')
        log.write(f'/bin/true: {exits} exits, {waits} of them with the gofer\n')
        for call in ('getpid', 'read'):
            counts = []
            for number in (2000, 6000):
                rows, exits = stats_of(settings, log, path, '--app', guest(settings, 'warm'), call, str(number))
                waits = rows.get('exit: doorbell', 0) + rows.get('exit: hypercall WAIT', 0)
                counts.append(exits - waits)
                require(rows['by trap'] < 500, f'{rows["by trap"]} calls trapped')
                require(waits < 200, f'{waits} exits with the gofer')
            require(abs(counts[1] - counts[0]) <= 4, f'4000 more calls of {call}: {counts} exits')
        expect_message(vmm(settings, log, '--stats=/nonexistent/stats', '/bin/true'), 125, '/nonexistent/stats')


@check('hw')
def profile_option(settings, log):
    """Samples in the form of perf script, most of them where the time goes."""
    with workdir() as folder:
        path = folder + '/profile'
        loop = 'i = 0\nwhile i < 3000000: i += 1'
        expect(vmm(settings, log, '--profile', path, '/usr/bin/python3', '-c', loop), 0)
        with open(path) as file:
            text = file.read()
        log.write(text[:2000])
        samples = text.split('\n\n')[:-1]
        form = re.compile(r'\S.* \d+ \d+\.\d{6}: \d+ cpu-clock:\n\t +[0-9a-f]+ \S+ \(\S+\)')
        bad = [sample for sample in samples if not form.fullmatch(sample)]
        require(not bad, f'not a sample: {bad[:1]}')
        python = sum('/python3' in sample for sample in samples)
        require(len(samples) > 20 and python * 2 > len(samples), f'{python} of {len(samples)} samples are in python3')


@check('hw')
def quiet_option(settings, log):
    expect(vmm(settings, log, '--quiet', '--app', guest(settings, 'ends'), 'segv'), 139, b'ending by segv 0\n', b'')
    result = expect(vmm(settings, log, '--app', guest(settings, 'ends'), 'segv'), 139, b'ending by segv 0\n')
    require(re.fullmatch(rb'vmm: [^\n]*SIGSEGV[^\n]*\n', result.err), f'stderr {result.err!r}')


# --- stdio -------------------------------------------------------------------------------------


@check()
def stdin_as_pipe_file_and_closed(settings, log):
    data = bytes(range(256)) * 1000
    expect(vmm(settings, log, '--app', '/bin/busybox', '--', 'cat', stdin=data), 0, data, b'')
    with workdir() as folder:
        path = write_file(folder + '/in', data)
        expect(vmm(settings, log, '--app', '/bin/busybox', '--', 'cat', stdin=path), 0, data, b'')
        # offsets are shared with the host: what is left is left for the next reader
        with open(path, 'rb') as file:
            expect(vmm(settings, log, '--app', '/bin/busybox', '--', 'head', '-c', '10', stdin=file), 0, data[:10], b'')
        with open(folder + '/out', 'w+b') as out:
            expect(vmm(settings, log, '--app', '/bin/busybox', '--', 'cat', stdin=path, stdout=out), 0)
            out.seek(0)
            require(out.read() == data, 'stdout as a file')
        with open(folder + '/append', 'wb') as out:
            out.write(b'first\n')
        with open(folder + '/append', 'ab') as out:
            expect(vmm(settings, log, '/bin/echo', 'second', stdout=out), 0)
        require(open(folder + '/append', 'rb').read() == b'first\nsecond\n', 'appended output')
    for redirection, status in (('<&-', 1), ('>&-', 1), ('2>&-', 0), ('<&- >&- 2>&-', 1)):
        command = '"$0" --app /bin/busybox -- cat ' + redirection
        result = runner.run(['sh', '-c', command, settings.vmm], stdin=b'data')
        native = runner.run(['sh', '-c', '/bin/busybox cat ' + redirection], stdin=b'data')
        runner.log_result(log, redirection, result)
        require((result.status, result.out) == (native.status, native.out),
                f'{redirection}: status {result.status} {result.out!r} {result.err!r}, native {native.status} {native.out!r}')


@check()
def stdout_full(settings, log):
    for command in (['/bin/busybox', 'echo', 'hi'], ['/bin/echo', 'hi'], ['/bin/cat', '/usr/lib/os-release']):
        with open('/dev/full', 'wb') as full:
            native = runner.run(command, stdout=full)
            result = vmm(settings, log, *command, stdout=full)
        require((result.status, result.err) == (native.status, native.err),
                f'{command}: {result.status} {result.err!r}, native {native.status} {native.err!r}')


@check('hw')
def reader_goes_away(settings, log):
    """EPIPE and SIGPIPE arrive, as natively."""
    for command in (['/bin/busybox', 'yes'], ['/usr/bin/seq', '1', '100000000']):
        process = start(settings, *command)
        os.read(process.stdout.fileno(), 1000)
        process.stdout.close()
        process.stdout = open('/dev/null', 'rb')
        status, _, err = finish(process, log)
        require(status == 141, f'{command}: status {status}, {err!r}')
    python = 'import signal, os\nsignal.signal(signal.SIGPIPE, signal.SIG_IGN)\ntry:\n  while True: os.write(1, b"x" * 1000)\nexcept BrokenPipeError: os._exit(44)'
    process = start(settings, '--app', '/usr/bin/python3', '--', '-c', python)
    os.read(process.stdout.fileno(), 1000)
    process.stdout.close()
    process.stdout = open('/dev/null', 'rb')
    status, _, err = finish(process, log)
    require(status == 44, f'EPIPE: status {status}, {err!r}')


@check('hw')
def closed_output_and_input_are_seen_outside(settings, log):
    """What the program closes is closed for whoever is at the other end, while the sandbox goes on."""
    process = start(settings, *shell('echo a; exec >&-; sleep 20'))
    try:
        ready = select.select([process.stdout], [], [], 30 * settings.slow)[0]
        require(ready and process.stdout.read() == b'a\n', 'output other than expected')
        require(process.poll() is None, 'the sandbox has ended')
    finally:
        process.terminate()
        finish(process, log)
    process = start(settings, *shell('exec <&-; sleep 20'), stdin=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 30 * settings.slow
        with contextlib.suppress(BrokenPipeError):
            while time.monotonic() < deadline:
                os.write(process.stdin.fileno(), b'x')
                time.sleep(0.01)
            raise Failure('no EPIPE for who feeds a closed stdin')
        require(process.poll() is None, 'the sandbox has ended')
    finally:
        process.terminate()
        finish(process, log)


@check()
def slow_reader_and_slow_writer(settings, log):
    process = start(settings, '--app', '/bin/busybox', '--', 'seq', '1', '200000')
    time.sleep(0.5)  # the pipe is full by now; the program blocks, not the machine
    digest = hashlib.sha256()
    total = 0
    while True:
        data = os.read(process.stdout.fileno(), 10000)
        if not data:
            break
        digest.update(data)
        total += len(data)
    status, _, err = finish(process, log)
    wanted = hashlib.sha256(''.join(f'{n}\n' for n in range(1, 200001)).encode()).hexdigest()
    require(status == 0 and digest.hexdigest() == wanted, f'status {status}, {total} bytes, {err!r}')
    process = start(settings, '--app', '/usr/bin/sed', '--', '-u', 's/^/got /', stdin=subprocess.PIPE)
    for n in range(5):
        process.stdin.write(b'line %d\n' % n)
        process.stdin.flush()
        line = wait_line(process.stdout)
        require(line == b'got line %d\n' % n, f'got {line!r}')
        time.sleep(0.05)
    process.stdin.close()
    process.stdin = None
    status, _, err = finish(process, log)
    require(status == 0, f'status {status}, {err!r}')


def pass_through(settings, log, mebibytes, command):
    """Pump pseudo-random binary data through the program and compare the sums of both ends."""
    block = hashlib.shake_256(b'pass-through').digest(1 << 20)
    expected = hashlib.sha256()
    for n in range(mebibytes):
        expected.update(n.to_bytes(8, 'little') + block[8:])
    process = start(settings, *command, stdin=subprocess.PIPE)
    writer = os.fork()
    if writer == 0:
        status = 1
        try:
            for n in range(mebibytes):
                view = memoryview(n.to_bytes(8, 'little') + block[8:])
                while view:
                    view = view[os.write(process.stdin.fileno(), view):]
            status = 0
        finally:
            os._exit(status)
    process.stdin.close()
    process.stdin = None
    got, total = hashlib.sha256(), 0
    begin = time.monotonic()
    while True:
        data = os.read(process.stdout.fileno(), 1 << 20)
        if not data:
            break
        got.update(data)
        total += len(data)
    took = time.monotonic() - begin
    log.write(f'{total >> 20} MiB in {took:.1f} s\n')
    os.waitpid(writer, 0)
    status, _, err = finish(process, log)
    require(status == 0, f'status {status}, {err!r}')
    require(total == mebibytes << 20, f'{total} bytes came out of {mebibytes << 20}')
    require(got.digest() == expected.digest(), 'the bytes changed on the way')


@check()
def pass_through_256_mib(settings, log):
    pass_through(settings, log, 256, ['--app', '/bin/busybox', '--', 'cat'])


@check('hw')
def pass_through_8_mib(settings, log):
    pass_through(settings, log, 8, ['/bin/cat'])


@check('soak')
def pass_through_2_gib(settings, log):
    pass_through(settings, log, 2048, ['/bin/cat'])


@check()
def digest_of_256_mib_on_stdin(settings, log):
    block = hashlib.shake_256(b'digest').digest(1 << 20)
    expected = hashlib.sha256(block * 256).hexdigest()
    with workdir() as folder:
        with open(folder + '/data', 'wb') as file:
            for _ in range(256):
                file.write(block)
        result = vmm(settings, log, '--app', '/usr/bin/sha256sum', stdin=folder + '/data')
        expect(result, 0, expected.encode() + b'  -\n', b'')
        result = vmm(settings, log, '--bind', f'{folder}:/d', '--app', '/usr/bin/sha256sum', '--', '/d/data')
        expect(result, 0, expected.encode() + b'  /d/data\n', b'')


# --- terminals ----------------------------------------------------------------------------------


class Terminal:
    """A vmm, or another program, whose stdio is a pty of ours, which is also its controlling terminal."""

    def __init__(self, settings, *arguments, program=None):
        program = program or settings.vmm
        self.shown = b''
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                os.chdir('/')
                signal.signal(signal.SIGINT, signal.SIG_DFL)
                os.execve(program, [program, *arguments], runner.ENVIRONMENT)
            finally:
                os._exit(127)
        self.text = b''

    def resize(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack('HHHH', rows, columns, 0, 0))

    def expect(self, wanted, timeout=20):
        deadline = time.monotonic() + timeout
        while wanted not in self.text:
            ready, _, _ = select.select([self.fd], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                raise Failure(f'{wanted!r} did not come; so far {self.text!r}')
            try:
                data = os.read(self.fd, 4096)
            except OSError:
                data = b''
            if not data:
                raise Failure(f'end of output before {wanted!r}: {self.text!r}')
            self.text += data
        before, self.text = self.text.split(wanted, 1)
        self.shown += before + wanted

    def send(self, data):
        os.write(self.fd, data)

    def finish(self, timeout=20):
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            ready, _, _ = select.select([self.fd], [], [], 0.05)
            if ready:
                with contextlib.suppress(OSError):
                    self.text += os.read(self.fd, 4096)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                os.close(self.fd)
                return os.waitstatus_to_exitcode(status)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.fd)
        raise Failure(f'no end; output {self.text!r}')


@check('hw')
def terminal_size(settings, log):
    terminal = Terminal(settings, '--app', guest(settings, 'tty'), 'size')
    terminal.expect(b'size 0 0')
    terminal.resize(33, 77)
    terminal.expect(b'size 33 77')
    terminal.resize(10, 20)
    terminal.expect(b'size 10 20')
    terminal.send(b'hello\n')
    terminal.expect(b'line hello')
    terminal.send(b'end\n')
    status = terminal.finish()
    require(status == 0, f'status {status}: {terminal.text!r}')


@check('hw')
def terminal_modes(settings, log):
    terminal = Terminal(settings, '--app', guest(settings, 'tty'), 'modes')
    terminal.expect(b'echo 1 canonical 1')
    terminal.expect(b'raw')
    terminal.send(b'Q')
    terminal.expect(b'byte 81')
    terminal.expect(b'size 11 22')
    status = terminal.finish()
    require(status == 0, f'status {status}: {terminal.text!r}')


@check('hw')
def terminal_interrupt(settings, log):
    terminal = Terminal(settings, '--app', '/bin/busybox', '--', 'sleep', '100')
    time.sleep(1 * settings.slow)
    terminal.send(b'\x03')
    status = terminal.finish()
    require(status == 130, f'^C: status {status}')
    terminal = Terminal(settings, '--app', '/bin/busybox', '--', 'cat')
    time.sleep(0.5 * settings.slow)
    terminal.send(b'text\n')
    terminal.expect(b'text\r\ntext\r\n')
    terminal.send(b'\x04')
    status = terminal.finish()
    require(status == 0, f'^D: status {status}')


# --- signals of the host, deaths ---------------------------------------------------------------------


@check('hw')
def host_signals_end_the_program(settings, log):
    for name in ('INT', 'TERM', 'HUP', 'QUIT', 'USR1', 'USR2'):
        number = getattr(signal, 'SIG' + name)
        process = start(settings, *shell('echo ready; read x'), stdin=subprocess.PIPE)
        wait_line(process.stdout)
        held, process.stdin = process.stdin, None  # open until the end: its EOF would race with the signal
        process.send_signal(number)
        status, _, err = finish(process, log)
        held.close()
        require(status == 128 + number, f'SIG{name}: status {status}, {err!r}')


@check('hw')
def host_signals_reach_handlers(settings, log):
    script = '\n'.join((
        'import os, signal, sys',
        'seen = []',
        'wake, wake_write = os.pipe()',  # a signal just before pause() would be noticed with the next one only
        'os.set_blocking(wake_write, False)',
        'signal.set_wakeup_fd(wake_write)',
        'def on(number, frame):',
        '    seen.append(number)',
        '    os.write(1, b"got " + signal.Signals(number).name.encode() + b"\\n")',  # print() is not reentrant
        'for n in ("INT", "TERM", "HUP", "QUIT", "USR1", "USR2", "TSTP", "CONT", "WINCH"):',
        '    signal.signal(getattr(signal, "SIG" + n), on)',
        'print("ready", flush=True)',
        'while len(seen) < 9: os.read(wake, 1)',
        'sys.exit(9)'))
    process = start(settings, '--app', '/usr/bin/python3', '--', '-c', script)
    wait_line(process.stdout, 30 * settings.slow)
    for name in ('INT', 'TERM', 'HUP', 'QUIT', 'USR1', 'USR2', 'TSTP', 'CONT', 'WINCH'):
        process.send_signal(getattr(signal, 'SIG' + name))
        line = wait_line(process.stdout)
        require(line == b'got SIG%s\n' % name.encode(), f'after SIG{name}: {line!r}')
    status, _, err = finish(process, log)
    require(status == 9, f'status {status}, {err!r}')


@check('hw')
def stop_and_continue(settings, log):
    process = start(settings, *shell('echo ready; read x; echo "went on $x"'), stdin=subprocess.PIPE)
    wait_line(process.stdout)
    process.send_signal(signal.SIGTSTP)
    time.sleep(0.3)
    process.send_signal(signal.SIGCONT)
    process.stdin.write(b'word\n')
    process.stdin.close()
    process.stdin = None
    line = wait_line(process.stdout)
    require(line == b'went on word\n', f'got {line!r}')
    status, _, err = finish(process, log)
    require(status == 0, f'status {status}, {err!r}')


@check('hw')
def signals_to_a_busy_program(settings, log):
    process = start(settings, *shell('trap "echo got; exit 5" TERM; echo ready; while :; do :; done'))
    wait_line(process.stdout)
    process.send_signal(signal.SIGTERM)
    status, out, err = finish(process, log)
    require((status, out) == (5, b'got\n'), f'status {status}, {out!r}, {err!r}')
    process = start(settings, *shell('echo ready; while :; do :; done'))
    wait_line(process.stdout)
    process.send_signal(signal.SIGTERM)
    status, _, err = finish(process, log)
    require(status == 143, f'status {status}, {err!r}')


@check('hw')
def vmm_killed(settings, log):
    """kill -9 of vmm leaves nothing."""
    for command in (['sleep', '100'], ['sh', '-c', 'while :; do :; done'], ['cat']):
        process = start(settings, '--app', '/bin/busybox', '--', *command, stdin=subprocess.PIPE)
        gofer_of(process)
        time.sleep(0.3 * settings.slow)
        below = descendants(process.pid)
        require(below, 'no gofer')
        process.kill()
        process.wait()
        process.stdin.close()
        left = [pid for pid in below if not gone(pid)]
        require(not left, f'still there 5 s after the end of vmm: {left}')
        process.stdout.close()
        process.stderr.close()


@check('hw')
def gofer_killed(settings, log):
    """kill -9 of the gofer: the program gets EIO, vmm ends with 125 and says why."""
    script = ('import os, time\nprint("ready", flush=True)\nn = 0\nwhile True:\n  n += 1\n'
              '  try: os.stat("/usr/lib/%d" % n)\n  except FileNotFoundError: pass')
    for code in (script, 'import time; print("ready", flush=True); time.sleep(60)',
                 'print("ready", flush=True)\nwhile True: pass'):
        process = start(settings, '--app', '/usr/bin/python3', '--', '-c', code)
        wait_line(process.stdout, 30 * settings.slow)
        os.kill(gofer_of(process), signal.SIGKILL)
        status, _, err = finish(process, log)
        require(status == 125, f'status {status}, {err!r}')
        require(re.search(rb'^vmm: [^\n]*gofer', err, re.M), f'stderr {err!r}')


@check('hw')
def every_thread_has_a_filter(settings, log):
    """Seccomp filters are per thread: none of vmm's and the gofer's may run without."""
    process = start(settings, *shell('echo up; exec sleep 100'))
    try:
        wait_line(process.stdout)
        for pid in [process.pid, *descendants(process.pid)]:
            for task in os.listdir(f'/proc/{pid}/task'):
                with open(f'/proc/{pid}/task/{task}/status') as file:
                    mode = re.search(r'^Seccomp:\s*(\d)', file.read(), re.M).group(1)
                require(mode == '2', f'thread {task} of process {pid}: Seccomp {mode}')
    finally:
        process.terminate()
        finish(process, log)


@check('hw')
def nothing_inherited(settings, log):
    """Descriptors from 3 up stay outside."""
    read_end, write_end = os.pipe()
    os.set_inheritable(write_end, True)
    try:
        result = runner.run([settings.vmm, '--app', '/bin/busybox', '--', 'ls', '/proc/self/fd'], close_fds=False)
        runner.log_result(log, 'fds', result)
        expect(result, 0, b'0\n1\n2\n3\n', b'')
    finally:
        os.close(read_end)
        os.close(write_end)


@check()
def two_at_once(settings, log):
    processes = [start(settings, '--app', '/bin/busybox', '--', 'sha256sum', '/bin/busybox') for _ in range(6)]
    outputs = {finish(process, log)[:2] for process in processes}
    require(len(outputs) == 1 and next(iter(outputs))[0] == 0, f'different results: {outputs}')


@check('hw')
def truncated_by_the_host(settings, log):
    """A file of a share shrinks under a mapping while the program runs: SIGBUS, not the end of the machine."""
    for cache in ('cache=shared', 'cache=exclusive'):
        with workdir() as folder:
            data = b''.join(bytes([97 + n % 26]) * 4096 for n in range(64))
            write_file(folder + '/file', data)
            process = start(settings, '--bind', f'{folder}:/d:rw,{cache}', '--app', guest(settings, 'truncated'), '--',
                            '/d/file', 'wait')
            line = wait_line(process.stdout)
            require(line == b'mapped\n', f'got {line!r}')
            time.sleep(0.3)
            os.truncate(folder + '/file', 0)
            status, out, err = finish(process, log, 60 * settings.slow)
            require(status == 0, f'{cache}: status {status}, {out!r}, {err!r}')


@check('hw')
def disk_full(settings, log):
    """A share whose disk is full: ENOSPC for the program, with write and with a mapping."""
    if os.getuid() != 0:
        raise Skip('needs root, to mount a small file system')
    with workdir() as folder:
        subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=1M', 'none', folder], check=True)
        try:
            result = vmm(settings, log, '--bind', f'{folder}:/d:rw', '--app', '/bin/busybox', '--', 'dd', 'if=/dev/zero',
                         'of=/d/x', 'bs=64k', 'count=100')
            require(result.status == 1 and b'No space left' in result.err, f'{result.status} {result.err!r}')
            os.unlink(folder + '/x')
            want = runner.run([guest(settings, 'diskfull'), folder + '/native'])
            os.unlink(folder + '/native')
            runner.log_result(log, 'native', want)
            require(want.status == 0, 'the native run failed')
            for cache in ('cache=shared', 'cache=exclusive'):
                result = vmm(settings, log, '--bind', f'{folder}:/d:rw,{cache}', '--app', guest(settings, 'diskfull'), '/d/x')
                require((result.status, result.out) == (want.status, want.out), f'{cache}: {result.out!r} {result.err!r}')
                os.unlink(folder + '/x')
        finally:
            subprocess.run(['umount', folder], check=True)


# --- kicks -------------------------------------------------------------------------------------


def kick(settings, log, count, seconds):
    kicker = os.path.join(runner.HERE, 'kick_storm.py')
    result = runner.run([sys.executable, kicker, '--signals', str(count), '--seconds', str(seconds), '--', settings.vmm,
                         '--app', guest(settings, 'kicks')], timeout=seconds * 2 * settings.slow + 60)
    runner.log_result(log, 'kick_storm', result)
    if result.status:
        raise Failure((result.out + result.err).decode())


@check('hw')
def kicks_at_random_places(settings, log):
    kick(settings, log, 500 if settings.hw else 3000, 20)


@check('soak')
def a_million_kicks(settings, log):
    kick(settings, log, 1000000, 3600)


def kick_by_vmm(settings, log, wanted, seconds):
    """vmm kicks its own vCPU every few microseconds, wherever that may be."""
    total, queued, begin = 0, 0, time.monotonic()
    with workdir() as folder:
        while total < wanted:
            require(time.monotonic() - begin < seconds * settings.slow, f'only {total} kicks in {seconds} s')
            expect(vmm(settings, log, '--debug-kick-us', '30', '--report', folder + '/report', '--app',
                       guest(settings, 'kicks'), '3', timeout=120), 0)
            with open(folder + '/report') as file:
                exits = json.load(file)['exits']
            total += exits['interrupted']
            queued += exits['queued']
    log.write(f'{total} kicks, {queued} while KVM had an exception queued for the program\n')
    # Only where page faults are KVM's own work does a kick find one queued.
    require(queued or settings.hw or 'svm' in open('/proc/cpuinfo').read() or 'vmx' in open('/proc/cpuinfo').read(),
            f'none of {total} kicks met a queued page fault')


@check('hw')
def kicks_by_vmm(settings, log):
    kick_by_vmm(settings, log, 1000, 60)


@check('soak')
def a_million_kicks_by_vmm(settings, log):
    kick_by_vmm(settings, log, 1000000, 3600)


@check('soak')
def kicks_under_python(settings, log):
    """A large program under constant kicks computes what it computes without."""
    arguments = ['--app', '/usr/bin/python3', '--', os.path.join(settings.data_dir, 'script.py'), 'alpha']
    bind = ['--bind', f'{settings.data_dir}:{settings.data_dir}']
    want = runner.run(arguments[1:2] + arguments[3:], stdin=settings.data_dir + '/text.txt', native=True)
    for _ in range(20):
        expect(vmm(settings, log, '--debug-kick-us', '20', *bind, *arguments, stdin=settings.data_dir + '/text.txt'),
               want.status, want.out, want.err)


import disks  # noqa: E402,F401  (more checks; it needs the helpers above)
