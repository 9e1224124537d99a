"""`vmm gofer`, the file server for other clients, and clients that nobody here wrote: diod's tools, Linux's v9fs."""

import contextlib
import fcntl
import os
import pty
import re
import select
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time

import __main__ as runner
from checks import check, expect_message, guest, require, vmm, workdir, write_file

Failure, Skip = runner.Failure, runner.Skip


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def server(settings, where, *exports, cwd='/'):
    """`vmm gofer` until the end of the block. where: unix:PATH or tcp:127.0.0.1:PORT. It must end well."""
    arguments = [word for export in exports for word in ('--export', export)]
    process = subprocess.Popen([settings.vmm, 'gofer', '--listen', where, *arguments], cwd=cwd, stdin=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, start_new_session=True)
    try:
        deadline = time.monotonic() + 20
        while True:
            kind, _, place = where.partition(':')
            with socket.socket(socket.AF_UNIX if kind == 'unix' else socket.AF_INET) as probe:
                address = place if kind == 'unix' else (place.split(':')[0], int(place.split(':')[1]))
                if probe.connect_ex(address) == 0:
                    break
            require(process.poll() is None, 'vmm gofer ended')
            require(time.monotonic() < deadline, 'vmm gofer does not listen')
            time.sleep(0.02)
        yield process
    except BaseException:
        process.kill()
        process.wait()
        raise
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=20)
    require(process.returncode == 0 and not err, f'vmm gofer: status {process.returncode}, {err!r}')
    require(not (where.startswith('unix:') and os.path.exists(where[5:])), 'the socket is still there')


def tool(log, *argv, status=0):
    if not shutil.which(argv[0], path=runner.PATH):
        raise Skip(f'{argv[0]}: not installed')
    result = runner.run(list(argv), timeout=60)
    runner.log_result(log, ' '.join(argv), result)
    require(result.status == status, f'{" ".join(argv)}: status {result.status}, {runner.shorten(result.err)}')
    return result


def tree(folder):
    """A few files of each kind to be served."""
    os.makedirs(folder + '/dir/below')
    write_file(folder + '/file', 'content\n')
    write_file(folder + '/big', bytes(range(256)) * 20000 + b'end')
    write_file(folder + '/dir/below/deep', 'deep\n', 0o640)
    os.symlink('file', folder + '/link')
    for n in range(300):
        write_file(f'{folder}/dir/{n:04}-{"n" * (n % 200)}', str(n))


@check()
def gofer_usage(settings, log):
    result = vmm(settings, log, 'gofer', '--help')
    require(result.status == 0 and b'--listen' in result.out, f'{result.status} {result.out!r}')
    expect_message(vmm(settings, log, 'gofer'), 125)
    with workdir() as folder:
        for export in (folder + '/none', '/proc'):
            result = vmm(settings, log, 'gofer', '--listen', 'unix:' + folder + '/s', '--export', export)
            expect_message(result, 125, export)
        # open to every host of the network: refused
        for where in ('tcp:0.0.0.0:5640', 'tcp:5640', 'tcp:127.0.0.1:0', 'tcp:127.0.0.1:x', 'nonsense'):
            expect_message(vmm(settings, log, 'gofer', '--listen', where, '--export', folder), 125)


@check()
def diod_clients(settings, log):
    """diodls, diodcat, dioddate, diodload."""
    with workdir() as top:
        tree(top + '/share')
        # what diod's own server makes up is an export of files here
        os.mkdir(top + '/ctl')
        write_file(top + '/ctl/date', '1700000000.123456 0.0\n')
        write_file(top + '/ctl/null', '')
        with open(write_file(top + '/ctl/zero', ''), 'wb') as file:
            file.truncate(1 << 40)
        where = f'127.0.0.1:{free_port()}'
        with server(settings, 'tcp:' + where, 'share:ro', 'ctl', cwd=top):
            names = tool(log, 'diodls', '-s', where, '-a', 'share', 'dir').out.decode().split()
            require(sorted(names) == sorted(os.listdir(top + '/share/dir')), f'diodls shows {len(names)} names')
            rows = {}
            for line in tool(log, 'diodls', '-l', '-s', where, '-a', 'share').out.decode().splitlines():
                words = line.split()
                rows[words[-1]] = (words[0][:10], int(words[1]), int(words[4]))
            for name in ('file', 'big', 'dir', 'link'):
                st = os.lstat(f'{top}/share/{name}')
                want = (stat.filemode(st.st_mode), st.st_nlink, st.st_size)
                if name == 'link':  # diodls leaves out the letter of a link
                    want, rows[name] = want[1:], rows[name][1:]
                if name == 'link' or name == 'dir':
                    want, rows[name] = want[:-1], rows[name][:-1]
                require(rows[name] == want, f'{name}: {rows[name]}, not {want}')
            for name in ('file', 'big', 'dir/below/deep'):
                with open(f'{top}/share/{name}', 'rb') as file:
                    data = file.read()
                require(tool(log, 'diodcat', '-s', where, '-a', 'share', name).out == data, f'{name}: other data')
            tool(log, 'diodcat', '-m', '4096', '-s', where, '-a', 'share', 'big')
            tool(log, 'diodcat', '-s', where, '-a', 'share', 'none', status=1)
            tool(log, 'diodcat', '-s', where, '-a', 'nothing', 'file', status=1)
            tool(log, 'diodcat', '-s', where, '-a', 'share', '../ctl/date', status=1)
            require(b'2023' in tool(log, 'dioddate', '-s', where).out, 'dioddate')
            for option in ([], ['-g']):
                result = tool(log, 'diodload', '-s', where, '-r', '1', '-n', '20', *option)
                rate = re.search(rb'(\d+) ops/s', result.out + result.err)
                require(rate and int(rate.group(1)) > 0 and b'error' not in result.err, f'diodload: {result.err!r}')
        with server(settings, f'unix:{top}/socket', top + '/share'):
            for aname in ('/', top + '/share'):
                result = tool(log, 'diodcat', '-s', top + '/socket', '-a', aname, 'file')
                require(result.out == b'content\n', f'by a Unix socket, {aname}: {result.out!r}')


@check()
def dtop(settings, log):
    """dtop polls a server's counts again and again: here, those of a file."""
    if not shutil.which('dtop', path=runner.PATH):
        raise Skip('dtop: not installed')
    with workdir() as top:
        os.mkdir(top + '/ctl')
        write_file(top + '/ctl/tpools', 'default 7 3 ' + '0 ' * 52 + '\n')  # as diod's own ctl/tpools has it
        shutil.copyfile('/proc/meminfo', top + '/ctl/meminfo')
        write_file(top + '/ctl/net.rpc.nfs', '')
        write_file(top + '/ctl/connections', 'localhost 2\n')
        port = free_port()
        with server(settings, f'tcp:127.0.0.1:{port}', 'ctl', cwd=top):
            pid, fd = pty.fork()
            if pid == 0:
                os.execvpe('dtop', ['dtop', '-p', str(port), '-P', '0.2', '-h', '127.0.0.1'], runner.ENVIRONMENT)
            text, deadline = b'', time.monotonic() + 20
            while not re.search(rb'1/1', text) and time.monotonic() < deadline:
                if select.select([fd], [], [], 0.5)[0]:
                    with contextlib.suppress(OSError):
                        text += os.read(fd, 4096)
            os.write(fd, b'q')
            os.kill(pid, signal.SIGTERM)
            os.waitpid(pid, 0)
            os.close(fd)
            log.write(repr(text))
            require(re.search(rb'1/1', text), f'dtop shows no live server: {text[-300:]!r}')


# --- Linux's own client: in the machine of `make check-hw` -----------------------------------------------------------


def same_output(log, where, argv, places):
    """A program prints the same in each of the places."""
    results = []
    for place in places:
        result = runner.run([word.replace('{}', place) for word in argv], timeout=200, cwd=place)
        result.out = result.out.replace(place.encode(), b'PLACE')
        runner.log_result(log, ' '.join(argv) + ' in ' + place, result)
        results.append(result)
    for place, result in zip(places[1:], results[1:]):
        if (result.status, result.out) != (results[0].status, results[0].out):
            raise Failure(f'{argv[0]}, {where}: status {result.status}\n' + runner.difference(results[0].out, result.out))


@contextlib.contextmanager
def v9fs(where, mountpoint, options):
    kind, _, place = where.partition(':')
    source = place if kind == 'unix' else place.split(':')[0]
    if kind == 'tcp':
        options += ',port=' + place.split(':')[1]
    os.makedirs(mountpoint, exist_ok=True)
    trans = 'unix' if kind == 'unix' else 'tcp'
    options = f'trans={trans},version=9p2000.L,{options}'
    subprocess.run(['mount', '-t', '9p', '-o', options, source, mountpoint], check=True, timeout=60)
    try:
        yield
    finally:
        subprocess.run(['umount', '-l', mountpoint], check=True)


@check('hw')
def linux_v9fs(settings, log):
    """mount -t 9p: what Linux does on our server is what it does on its own tmpfs."""
    with open('/proc/filesystems') as file:
        if os.getuid() != 0 or '\t9p\n' not in file.read():
            raise Skip('needs root and a kernel with 9p')
    with tempfile.TemporaryDirectory(dir='/tmp') as top:
        tree(top + '/share')
        os.mkdir(top + '/native')
        with server(settings, f'unix:{top}/socket', top + '/share'):
            for options in ('cache=none,access=any,msize=131072', 'cache=loose,msize=8192'):
                with v9fs(f'unix:{top}/socket', top + '/mnt', options):
                    for name in ('file', 'big', 'link', 'dir/below/deep'):
                        with open(f'{top}/mnt/{name}', 'rb') as a, open(f'{top}/share/{name}', 'rb') as b:
                            require(a.read() == b.read(), f'{options}: {name}: other data')
                    require(set(os.listdir(top + '/mnt/dir')) == set(os.listdir(top + '/share/dir')), 'other names')
                    require(os.readlink(top + '/mnt/link') == 'file', 'readlink')
                    require(os.statvfs(top + '/mnt').f_blocks == os.statvfs(top + '/share').f_blocks, 'statfs')
                    if 'loose' in options:  # the others have no shared mappings, or none that are coherent with read
                        program = [guest(settings, 'fsx'), '7', '1500', '{}/fsx']
                        same_output(log, options, program, [top + '/native', top + '/mnt'])
                        os.unlink(top + '/mnt/fsx')
                    xattrs(top + '/mnt/file', top + '/share/file')
                    locks(top + '/mnt/file')
                    names(top + '/mnt', top + '/share')
        where = f'tcp:127.0.0.1:{free_port()}'
        with server(settings, where, top + '/share:ro'):
            with v9fs(where, top + '/mnt', 'cache=none'):
                with open(top + '/mnt/file') as file:
                    require(file.read() == 'content\n', 'by TCP')
                for action in (lambda: open(top + '/mnt/new', 'w'), lambda: os.mkdir(top + '/mnt/new'),
                               lambda: os.unlink(top + '/mnt/file'), lambda: os.chmod(top + '/mnt/file', 0)):
                    try:
                        action()
                    except OSError as error:
                        require(error.strerror == 'Read-only file system', f'{error}')
                    else:
                        raise Failure('a read-only export was changed')


def xattrs(client, host):
    try:
        os.setxattr(host, 'user.probe', b'1')
        os.removexattr(host, 'user.probe')
    except OSError:
        return  # tmpfs of this kernel has no user attributes
    os.setxattr(client, 'user.colour', b'green')
    require(os.getxattr(host, 'user.colour') == b'green' and os.getxattr(client, 'user.colour') == b'green', 'setxattr')
    require('user.colour' in os.listxattr(client), 'listxattr')
    os.setxattr(client, 'user.empty', b'')
    require(os.getxattr(client, 'user.empty') == b'', 'empty value')
    for name in ('user.colour', 'user.empty'):
        os.removexattr(client, name)
        require(name not in os.listxattr(host), 'removexattr')


def locks(path):
    """A lock of one process keeps another out until it is dropped."""
    script = ('import fcntl, sys\nf = open(sys.argv[1], "r+")\n'
              'try: fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB)\nexcept OSError: sys.exit(3)\n')
    with open(path, 'r+') as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        require(runner.run(['python3', '-c', script, path]).status == 3, 'a lock that is held was given')
        fcntl.lockf(file, fcntl.LOCK_UN)
        require(runner.run(['python3', '-c', script, path]).status == 0, 'a lock that is free was not given')


def names(client, host):
    """Everything that makes, moves or removes names, seen on the other side."""
    os.mkdir(client + '/made', 0o750)
    require(stat.S_IMODE(os.stat(host + '/made').st_mode) == 0o750, 'mkdir')
    with open(client + '/made/f', 'x') as file:
        file.write('text')
        file.flush()
        os.fsync(file.fileno())
        with open(host + '/made/f') as other:
            require(other.read() == 'text', 'write and fsync')
    os.link(client + '/made/f', client + '/made/g')
    require(os.stat(host + '/made/f').st_nlink == 2, 'link')
    os.symlink('nowhere', client + '/made/s')
    require(os.readlink(host + '/made/s') == 'nowhere', 'symlink')
    os.mkfifo(client + '/made/p')
    require(stat.S_ISFIFO(os.lstat(host + '/made/p').st_mode), 'mkfifo')
    os.rename(client + '/made/g', client + '/moved')
    require(os.path.exists(host + '/moved') and not os.path.exists(host + '/made/g'), 'rename')
    os.truncate(client + '/moved', 2)
    os.chmod(client + '/moved', 0o4755)
    require(stat.S_IMODE(os.stat(host + '/moved').st_mode) == 0o755, 'setuid reached the host')
    os.utime(client + '/moved', ns=(10 ** 18, 10 ** 18 + 10 ** 9))
    st = os.stat(host + '/moved')
    require((st.st_size, st.st_mtime_ns, st.st_atime_ns) == (2, 10 ** 18 + 10 ** 9, 10 ** 18), f"truncate and utime: {st}")
    for name in ('made/f', 'made/s', 'made/p', 'moved'):
        os.unlink(f'{client}/{name}')
    os.rmdir(client + '/made')
    require(not os.path.exists(host + '/made') and not os.path.exists(host + '/moved'), 'unlink and rmdir')
