"""Files on every kind of mount: POSIX semantics, random exercisers, databases that are cut off, a gofer that stops or has no room."""

import contextlib
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import time

import __main__ as runner
from checks import (check, expect, finish, gofer_of, gone, guest, require, shell, start, vmm, wait_line, workdir,
                    write_file)
from checks_overlay import copy_closure, keeps_overlays

Failure, Skip = runner.Failure, runner.Skip


@contextlib.contextmanager
def mounts(program):
    """{kind: (words for vmm up to the program, directory inside)} for every kind of mount that can be written to."""
    with workdir() as top:
        for name in ('exclusive', 'shared', 'none', 'upper', 'native'):
            os.makedirs(f'{top}/{name}')
            os.chmod(f'{top}/{name}', 0o777)
        for name in ('dev', 'proc', 'sys', 'tmp', 'data'):
            os.makedirs(f'{top}/root/{name}')
        inside = ['--app', copy_closure(program, top + '/root')]
        kinds = {f'bind, cache={cache}': (['--bind', f'{top}/{cache}:/data:rw,cache={cache}', '--app', program], '/data')
                 for cache in ('exclusive', 'shared', 'none')}
        kinds['tmpfs'] = (['--app', program], '/tmp')
        kinds['overlay in memory'] = (['--root', top + '/root', *inside], '/data')
        if keeps_overlays(top):
            kinds['overlay kept'] = (['--root', top + '/root', '--overlay', top + '/upper', *inside], '/data')
        yield top, kinds


@check()
def posix_semantics(settings, log):
    """tests/guest/posix.c: the same table on every mount as natively."""
    if os.getuid() != 0:
        raise Skip('needs root, who becomes another user for some of it')
    program = guest(settings, 'posix')
    with mounts(program) as (top, kinds):
        want = expect(runner.run([program, top + '/native'], timeout=60 * settings.slow), 0, None, b'')
        for kind, (words, place) in kinds.items():
            got = vmm(settings, log, *words, '--', place, timeout=120 * settings.slow)
            if (got.status, got.err) != (0, b'') or got.out != want.out:
                tables = (text.replace(b' ', b'\n') for text in (want.out, got.out))
                raise Failure(f'{kind}: status {got.status}, {got.err!r}\n' + runner.difference(*tables))


@check()
def listings_stay_true(settings, log):
    """tests/guest/listings.c: what is known from listings, on every mount, then seen from the host and by another sandbox."""
    program = guest(settings, 'listings')
    with mounts(program) as (top, kinds):
        for cache in ('exclusive', 'shared', 'none'):
            for name in ('few/dir', 'other', 'many'):
                os.makedirs(f'{top}/{cache}/changed/{name}')
            for n in range(50):
                write_file(f'{top}/{cache}/changed/few/{n}', 'x')
                os.chmod(f'{top}/{cache}/changed/few/{n}', 0o600)
            write_file(f'{top}/{cache}/changed/few/linked', 'x')
            os.link(f'{top}/{cache}/changed/few/linked', f'{top}/{cache}/changed/other/linked')
            for n in range(5000):
                write_file(f'{top}/{cache}/changed/many/{n}', 'x' * (n % 5))
        for seed in ('11', '12', '13'):
            os.makedirs(f'{top}/native/{seed}')
            if runner.run([program, f'{top}/native/{seed}', seed, '700']).status:
                raise Skip(f"{top}: its positions don't last, as those of Linux's tmpfs before 6.6")
        for seed, (kind, (words, place)) in enumerate(kinds.items(), 11):
            result = vmm(settings, log, *words, '--', place, str(seed), '700', timeout=60 * settings.slow)
            require(result.status == 0, f'{kind}: {result.out!r} {result.err!r}')
            if not kind.startswith('bind'):
                continue
            folder = f'{top}/{kind.split("=")[1]}'
            result = vmm(settings, log, '--mem', '64M', *words, '--', '/data/changed', 'evict', timeout=60 * settings.slow)
            require(result.status == 0, f'{kind}, evicted: {result.out!r} {result.err!r}')
            want = runner.run([program, folder, 'show'])
            expect(vmm(settings, log, *words, '--', '/data', 'show'), 0, want.out, b'')


LATE_ERROR = '''
import errno, os, sys
def told(call, *args):
    try:
        return call(*args)
    except OSError as error:
        return errno.errorcode[error.errno]
f = os.open(sys.argv[1] + "/big", os.O_CREAT | os.O_WRONLY, 0o644)
print([told(os.write, f, b"x" * 262144) for n in range(160)].count(262144))
print(told(os.fsync, f), told(os.fsync, f), told(os.close, f))
'''


def unmount(folder):
    """The loop device may need a moment to let go of its file."""
    for _ in range(100):
        if subprocess.run(['umount', folder], stderr=subprocess.DEVNULL).returncode == 0:
            return
        time.sleep(0.1)
    raise Failure(f'{folder} stays mounted')


@check()
def disk_fails_later(settings, log):
    """What was written can't be kept: a file system with plenty of space, on a disk that has none. fsync(2) tells it, once, as natively."""
    if os.getuid() != 0 or not shutil.which('mkfs.ext4', path=runner.PATH):
        raise Skip('needs root and mkfs.ext4, to mount a file system')
    python = '/usr/bin/python3'
    told = {}
    for kind in ('native', 'exclusive', 'shared', 'none'):
        with workdir() as top, contextlib.ExitStack() as mounted:
            os.mkdir(top + '/small')
            os.mkdir(top + '/large')
            subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=24M', 'none', top + '/small'], check=True)
            mounted.callback(unmount, top + '/small')
            with open(top + '/small/image', 'w') as image:
                image.truncate(12 << 30)
            subprocess.run(['mkfs.ext4', '-q', '-O', '^has_journal', '-E', 'lazy_itable_init=1,nodiscard', top + '/small/image'],
                           check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            if subprocess.run(['mount', '-o', 'loop', top + '/small/image', top + '/large'], stderr=subprocess.DEVNULL).returncode:
                raise Skip('no loop devices')
            mounted.callback(unmount, top + '/large')
            os.chmod(top + '/large', 0o777)
            if kind == 'native':
                result = runner.run([python, '-c', LATE_ERROR, top + '/large'], timeout=60 * settings.slow)
            else:
                result = vmm(settings, log, '--bind', f'{top}/large:/d:rw,cache={kind}', '--app', python, '--', '-c', LATE_ERROR, '/d',
                             timeout=60 * settings.slow)
            told[kind] = result.out
    require(b'ENOSPC' in told['native'] or b'EIO' in told['native'], f'natively nothing failed: {told}')
    require(len(set(told.values())) == 1, f'{told}')


QUOTA = '''
import errno, os, sys
def told(call, *args):
    try:
        return call(*args)
    except OSError as error:
        return errno.errorcode[error.errno]
f = os.open(sys.argv[1] + "/f", os.O_CREAT | os.O_RDWR | os.O_TRUNC, 0o600)
for size in (100000, 1000):
    print([n for n in (told(os.write, f, b"x" * size) for _ in range(200)) if n != size and isinstance(n, str)][0])
print(told(os.fsync, f), told(os.posix_fallocate, f, 0, 64 << 20), told(os.mkdir, sys.argv[1] + "/d"))
print(os.fstat(f).st_size < 9 << 20)
os.unlink(sys.argv[1] + "/f")
'''


@check()
def quota_is_told(settings, log):
    """A file system with plenty of space, of which the user may have 8 MiB: EDQUOT, not ENOSPC, as natively."""
    if os.getuid() != 0 or not shutil.which('btrfs', path=runner.PATH):
        raise Skip('needs root and btrfs, to mount a file system')
    python = '/usr/bin/python3'
    with workdir() as top, contextlib.ExitStack() as mounted:
        os.mkdir(top + '/fs')
        with open(top + '/image', 'w') as image:
            image.truncate(12 << 30)
        subprocess.run(['mkfs.btrfs', '-q', top + '/image'], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if subprocess.run(['mount', '-o', 'loop', top + '/image', top + '/fs'], stderr=subprocess.DEVNULL).returncode:
            raise Skip('no loop devices, or no btrfs')
        mounted.callback(unmount, top + '/fs')
        for words in (['quota', 'enable', top + '/fs'], ['subvolume', 'create', top + '/fs/s'],
                      ['qgroup', 'limit', '8M', top + '/fs/s']):
            subprocess.run(['btrfs', *words], check=True, stdout=subprocess.DEVNULL)
        os.chmod(top + '/fs/s', 0o777)
        want = runner.run([python, '-c', QUOTA, top + '/fs/s'], timeout=60 * settings.slow)
        require(want.out.startswith(b'EDQUOT\nEDQUOT\n'), f'natively: {want.out!r} {want.err!r}')
        for cache in ('exclusive', 'shared', 'none'):
            os.sync()
            result = vmm(settings, log, '--bind', f'{top}/fs/s:/d:rw,cache={cache}', '--app', python, '--', '-c', QUOTA, '/d',
                         timeout=60 * settings.slow)
            expect(result, 0, want.out, b'')


@check('soak')
def a_million_fsx(settings, log):
    """Seeds that were found to matter stay in the list."""
    program = guest(settings, 'fsx')
    with mounts(program) as (_, kinds):
        for seed, (kind, (words, place)) in enumerate(kinds.items(), 101):
            result = vmm(settings, log, *words, '--', str(seed), '1000000', place + '/f', timeout=7200)
            require(result.status == 0, f'{kind}: {result.out!r} {result.err!r}')


@check('soak')
def fio_verifies(settings, log):
    if not shutil.which('fio', path=runner.PATH):
        raise Skip('fio: not installed')
    with mounts('/usr/bin/fio') as (_, kinds):
        for kind, (words, place) in kinds.items():
            for mode in ('write', 'randwrite', 'randrw'):
                result = vmm(settings, log, *words, '--', '--name=verify', '--thread', '--size=32m',
                             f'--rw={mode}', '--bs=4k', '--ioengine=psync', '--verify=crc32c', '--verify_fatal=1',
                             '--do_verify=1', f'--directory={place}', '--fallocate=none', timeout=600)
                require(result.status == 0 and b'verify: bad' not in result.err, f'{kind}, {mode}: {result.err!r}')


@check('soak')
def git_clone_and_fsck(settings, log):
    """A repository of 10,000 files."""
    with workdir() as top:
        stream = ['commit refs/heads/main\ncommitter a <a@b> 1 +0000\ndata 1\nc']
        for n in range(10000):
            text = f'{n}\n' * (n % 50)
            stream.append(f'M 100644 inline d{n % 97}/e{n % 13}/f{n}\ndata {len(text)}\n{text}')
        subprocess.run(['git', 'init', '-q', '--bare', '-b', 'main', top + '/source'], check=True)
        subprocess.run(['git', 'fast-import', '--quiet'], input='\n'.join(stream).encode() + b'\n', cwd=top + '/source', check=True)
        os.mkdir(top + '/work')
        script = ('git config --global safe.directory "*" && git clone -q file:///source /work/clone && cd /work/clone && '
                  'git fsck --full && git status --porcelain && git ls-files | wc -l && git rev-parse HEAD^{tree}')
        result = vmm(settings, log, '--bind', f'{top}/source:/source', '--bind', f'{top}/work:/work:rw', *shell(script), timeout=600)
        require(result.status == 0, f'{result.status} {result.err!r}')
        tree = subprocess.run(['git', 'rev-parse', 'main^{tree}'], cwd=top + '/source', capture_output=True, text=True).stdout
        require(result.out.decode().split() == ['10000', tree.strip()], f'{result.out!r}')
        files = sum(len(names) for folder, _, names in os.walk(top + '/work/clone') if '/.git' not in folder)
        require(files == 10000, f'{files} files on the host')


INSERT = '''
import sqlite3, sys
db = sqlite3.connect("/d/db", isolation_level=None)
db.execute("pragma synchronous=full")
db.execute("pragma journal_mode=" + sys.argv[1])
db.execute("create table if not exists t (n integer primary key, data blob)")
n = db.execute("select coalesce(max(n), 0) from t").fetchone()[0]
print("ready", flush=True)
while True:
    n += 1
    db.execute("begin"); db.execute("insert into t values (?, zeroblob(?))", (n, n * 37 % 5000)); db.execute("commit")
    print(n, flush=True)
'''


def cut_off(settings, log, rounds):
    """Kill vmm, gofer or both while a database is written: what was acknowledged is there, and nothing is corrupt."""
    choose = random.Random(7)
    acknowledged = 0
    with workdir() as top:
        os.mkdir(top + '/d')
        for number in range(rounds):
            journal = 'delete' if number // 10 % 2 == 0 else 'truncate'
            process = start(settings, '--bind', f'{top}/d:/d:rw', '--app', '/usr/bin/python3', '--', '-c', INSERT, journal)
            require(wait_line(process.stdout, 60 * settings.slow) == b'ready\n', 'the program does not start')
            gofer = gofer_of(process)
            time.sleep(choose.uniform(0, 0.3))
            victims = choose.choice(([process.pid], [gofer], [gofer, process.pid], [process.pid, gofer]))
            for pid in victims:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            lines = process.communicate(timeout=60)[0].decode().split('\n')[:-1]
            require(gone(gofer), 'the gofer is still there')
            if lines:
                acknowledged = int(lines[-1])
            db = sqlite3.connect(top + '/d/db')
            try:
                require(db.execute('pragma integrity_check').fetchall() == [('ok',)], f'round {number}: corrupt')
                have = db.execute('select coalesce(max(n), 0), count(*) from t').fetchone()
            finally:
                db.close()
            require(have[0] >= acknowledged and have[0] == have[1], f'round {number}: {acknowledged} acknowledged, {have} there')
        log.write(f'{rounds} rounds, {acknowledged} transactions\n')
        require(acknowledged > 0, 'no transaction was made')


@check()
def database_cut_off(settings, log):
    cut_off(settings, log, 5)


@check('soak')
def database_cut_off_200_times(settings, log):
    cut_off(settings, log, 200)


@check()
def gofer_stopped(settings, log):
    """A gofer that doesn't answer: the program waits, goes on when it does, and vmm can be ended all the while."""
    script = 'echo ready; read x; for i in 1 2 3; do cat /d/f$i; done; echo done'
    with workdir() as top:
        for n in (1, 2, 3):
            write_file(f'{top}/f{n}', f'{n}\n')
        process = start(settings, '--bind', f'{top}:/d', *shell(script), stdin=subprocess.PIPE)
        wait_line(process.stdout)
        gofer = gofer_of(process)
        os.kill(gofer, signal.SIGSTOP)
        process.stdin.write(b'\n')
        process.stdin.flush()
        time.sleep(0.5)
        require(process.poll() is None, 'it ended without its files')
        os.kill(gofer, signal.SIGCONT)
        status, out, err = finish(process, log)
        require((status, out) == (0, b'1\n2\n3\ndone\n'), f'status {status}, {out!r} {err!r}')
        for options, how, expected in ((['--timeout', '2s'], None, 137), ([], signal.SIGKILL, -9)):
            process = start(settings, '--bind', f'{top}:/d', *options, *shell(script), stdin=subprocess.PIPE)
            wait_line(process.stdout)
            gofer = gofer_of(process)
            os.kill(gofer, signal.SIGSTOP)
            process.stdin.write(b'\n')
            process.stdin.flush()
            time.sleep(0.3)
            if how:
                process.send_signal(how)
            status, _, err = finish(process, log)
            require(status == expected, f'{options} {how}: status {status}, {err!r}')
            require(gone(gofer), 'the stopped gofer is still there')


@check()
def descriptors_run_out(settings, log):
    """The gofer has few descriptors: open says so, and works again when some are closed."""
    script = '\n'.join((
        'import errno, os',
        'fds, error = [], None',
        'for n in range(3000):',
        '    try: fds.append(os.open("/d/f%d" % n, os.O_RDWR | os.O_CREAT))',
        '    except OSError as e: error = e; break',
        'assert error and error.errno in (errno.EMFILE, errno.ENFILE), error',
        'assert len(fds) > 50, len(fds)',
        'for fd in fds: assert os.write(fd, b"x") == 1; os.fsync(fd)',
        'for fd in fds[::2]: os.close(fd)',
        'again = [os.open("/d/again%d" % n, os.O_RDWR | os.O_CREAT) for n in range(20)]',
        'print("ok")'))
    with workdir() as top:
        os.mkdir(top + '/d')
        result = runner.run(['prlimit', '--nofile=600:600', settings.vmm, '--bind', f'{top}/d:/d:rw', '--app', '/usr/bin/python3',
                             '--', '-c', script])
        runner.log_result(log, 'few descriptors', result)
        require((result.status, result.out) == (0, b'ok\n'), f'{result.status} {result.out!r} {result.err!r}')


@check()
def shared_files_change(settings, log):
    """cache=shared: what the host does is seen at once by an open, and by stat and read within a few milliseconds."""
    script = '\n'.join((
        'import os, sys, time',
        'held = open("/d/f", "rb", buffering=0)',
        'assert held.read() == b"old" and os.stat("/d/f").st_size == 3 and not os.path.exists("/d/new")',
        'print("ready", flush=True)',
        'sys.stdin.readline()',
        'assert open("/d/f").read() == "newer text", "open after a change"',
        'assert os.listdir("/d") == ["f", "new"] or sorted(os.listdir("/d")) == ["f", "new"], os.listdir("/d")',
        'assert open("/d/new").read() == "here"',
        'time.sleep(0.005)',
        'assert os.stat("/d/f").st_size == 10 and os.fstat(held.fileno()).st_size == 10, "stat"',
        'held.seek(0); assert held.read() == b"newer text", "an open file"',
        'print("changed", flush=True)',
        'sys.stdin.readline()',
        'assert not os.path.exists("/d/new") and not os.path.exists("/d/f") and os.path.exists("/d/moved")',
        'assert os.fstat(held.fileno()).st_size == 10',
        'import mmap',
        'm = mmap.mmap(os.open("/d/moved", os.O_RDWR), 10)',
        'assert m[:5] == b"newer"; m[:5] = b"NEWER"',
        'print("mapped", flush=True)',
        'sys.stdin.readline()',
        'assert m[6:10] == b"TEXT", m[:]',
        'print("end", flush=True)'))
    for cache in ('shared', 'none'):
        with workdir() as top:
            write_file(top + '/f', 'old')
            process = start(settings, '--bind', f'{top}:/d:rw,cache={cache}', '--app', '/usr/bin/python3', '--', '-c', script,
                            stdin=subprocess.PIPE)

            def step(expected):
                line = wait_line(process.stdout, 30 * settings.slow)
                require(line == expected + b'\n', f'cache={cache}: {line!r}')

            def go_on():
                process.stdin.write(b'\n')
                process.stdin.flush()

            try:
                step(b'ready')
                write_file(top + '/f', 'newer text')
                write_file(top + '/new', 'here')
                go_on()
                step(b'changed')
                os.unlink(top + '/new')
                os.rename(top + '/f', top + '/moved')
                go_on()
                step(b'mapped')
                with open(top + '/moved', 'r+b') as file:
                    require(file.read() == b'NEWER text', 'the host does not see what was stored in the mapping')
                    file.seek(6)
                    file.write(b'TEXT')
                go_on()
                step(b'end')
            finally:
                status, _, err = finish(process, log)
            require(status == 0, f'cache={cache}: {err.decode()}')
