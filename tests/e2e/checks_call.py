"""How it is called: both forms, bad input, bad programs, what of the jail is active."""

import os
import re
import shutil
import tempfile

import __main__ as runner
from checks import check, expect, expect_message, Failure, guest, require, Skip, vmm, workdir, write_file


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
