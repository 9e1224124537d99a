#!/usr/bin/python3
"""Run programs natively and in the VM and compare what comes out.

    tests/e2e/run.py [options] [PATTERN...]     PATTERN: shell pattern for case names

A case is one line of a list file (see tests/e2e/cases.list) or one function of checks*.py.
Prints one PASS, FAIL or SKIP line per case (a FAIL with its reasons) and, at the end, exactly one
line `N passed, N failed, N skipped`. Exit status: 0 if nothing failed. Logs: build/e2e/CASE.log.

Each worker is a subreaper: whatever a case leaves running is reparented to it, reported and ended.
"""

import argparse
import ctypes
import difflib
import errno
import fcntl
import fnmatch
import importlib
import multiprocessing
import os
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import time
import traceback

HERE = os.path.dirname(os.path.realpath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, HERE)

PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
ENVIRONMENT = {'PATH': PATH, 'HOME': '/root', 'TERM': 'xterm', 'LANG': 'C.UTF-8'}

KVM_GET_API_VERSION = 0xae00
KVM_CREATE_VM = 0xae01
PR_SET_CHILD_SUBREAPER = 36
CLONE_NEWNS, CLONE_NEWUSER = 0x20000, 0x10000000
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000

libc = ctypes.CDLL(None, use_errno=True)


class Skip(Exception):
    """Raised by a case that can't run here; the text says why."""


class Failure(Exception):
    """Raised by a case that found something wrong; the text says what."""


def kvm_problem():
    """None if /dev/kvm makes VMs, else why not."""
    try:
        with open('/dev/kvm', 'r+b', buffering=0) as kvm:
            if fcntl.ioctl(kvm, KVM_GET_API_VERSION) != 12:
                return '/dev/kvm: unknown API version'
            os.close(fcntl.ioctl(kvm, KVM_CREATE_VM, 0))
    except OSError as error:
        return f'/dev/kvm: {error.strerror}'
    return None


# --- running one program -----------------------------------------------------------------------


def _checked(result):
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def private_tmp(keep):
    """In a child before exec: give it an own empty /tmp, as the sandbox has, in which keep stays visible."""
    uid, gid = os.getuid(), os.getgid()
    if uid == 0:
        _checked(libc.unshare(CLONE_NEWNS))
    else:
        _checked(libc.unshare(CLONE_NEWNS | CLONE_NEWUSER))
        for name, text in (('setgroups', 'deny'), ('uid_map', f'0 {uid} 1'), ('gid_map', f'0 {gid} 1')):
            with open('/proc/self/' + name, 'w') as file:
                file.write(text)
    _checked(libc.mount(b'none', b'/', None, MS_REC | MS_PRIVATE, None))
    keep_fd = os.open(keep, os.O_PATH | os.O_DIRECTORY)  # in our namespace, before /tmp is covered
    for place, mode in ((b'/tmp', b'mode=1777'), (b'/dev/shm', b'mode=1777')):
        _checked(libc.mount(b'tmpfs', place, b'tmpfs', 0, mode))
    if keep == '/tmp' or keep.startswith('/tmp/'):
        os.makedirs(keep, exist_ok=True)
        _checked(libc.mount(f'/proc/self/fd/{keep_fd}'.encode(), keep.encode(), None, MS_BIND | MS_REC, None))
    os.close(keep_fd)


class Result:
    """Exit status (128+n for a signal), both outputs, the time taken, and what its threads did when it was stopped for time."""

    def __init__(self, status, out, err, seconds, killed_by=0, timed_out=False, hung=''):
        self.status, self.out, self.err, self.seconds = status, out, err, seconds
        self.killed_by, self.timed_out, self.hung = killed_by, timed_out, hung


def task_state(pid, task):
    """One line on a thread that hangs: its state, the processor time it has had, and the call that it is in."""
    place = f'/proc/{pid}/task/{task}/'
    with open(place + 'stat') as file:
        head, rest = file.read().rsplit(')', 1)
    fields = rest.split()
    texts = []
    for name in ('wchan', 'syscall'):
        try:
            with open(place + name) as file:
                texts.append(file.read().strip())
        except OSError:
            texts.append('?')
    return f'{head.split("(", 1)[1]} {pid}/{task}: {fields[0]}, ticks {fields[11]}+{fields[12]}, in {texts[0]}, call {texts[1]}'


def session_state(leader):
    """All threads of a session, for the report of a run that didn't end; twice, to see what moves."""
    lines = []
    for _ in range(2):
        for pid in filter(str.isdigit, os.listdir('/proc')):
            try:
                if os.getsid(int(pid)) == leader:
                    lines += [task_state(pid, task) for task in os.listdir(f'/proc/{pid}/task')]
            except OSError:
                pass  # it has just ended
        time.sleep(0.2)
    return '\n'.join(lines)


def run(argv, stdin=None, timeout=60, env=None, native=False, cwd='/', **popen):
    """Run argv to its end. stdin: bytes for a pipe, a path, or None for /dev/null."""
    def prepare():
        os.setsid()
        os.umask(0o022)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # the workers ignore it
        if native:
            private_tmp(TOP)
            os.chdir(cwd)

    feed = None
    if isinstance(stdin, bytes):
        feed, source = stdin, subprocess.PIPE
    elif isinstance(stdin, str):
        source = open(stdin, 'rb')
    elif stdin is None:
        source = subprocess.DEVNULL
    else:
        source = stdin
    start = time.monotonic()
    popen.setdefault('stdout', subprocess.PIPE)
    popen.setdefault('stderr', subprocess.PIPE)
    try:
        process = subprocess.Popen(argv, stdin=source, env=env or ENVIRONMENT, cwd=cwd,
                                   preexec_fn=prepare, **popen)
    except FileNotFoundError:
        return Result(127, b'', f'{argv[0]}: not found\n'.encode(), 0)
    except PermissionError:
        return Result(126, b'', f'{argv[0]}: not executable\n'.encode(), 0)
    finally:
        if isinstance(stdin, str):
            source.close()
    timed_out, hung = False, ''
    try:
        out, err = process.communicate(feed, timeout=timeout)
    except subprocess.TimeoutExpired:
        timed_out = True
        hung = session_state(process.pid)
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
    code = process.returncode
    return Result(128 - code if code < 0 else code, out or b'', err or b'',
                  time.monotonic() - start, killed_by=-code if code < 0 else 0, timed_out=timed_out, hung=hung)


# --- what a case leaves behind -----------------------------------------------------------------


def children():
    found = []
    for task in os.listdir('/proc/self/task'):
        with open(f'/proc/self/task/{task}/children') as file:
            found += [int(pid) for pid in file.read().split()]
    return found


def reap_leftovers(grace):
    """Wait for reparented processes to end; return a text about those that do not."""
    deadline = time.monotonic() + grace
    while True:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return ''
        left = children()
        if not left:
            return ''
        if time.monotonic() > deadline:
            break
        time.sleep(0.01)
    names = []
    for pid in left:
        try:
            with open(f'/proc/{pid}/comm') as file:
                names.append(f'{file.read().strip()} ({pid})')
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        except OSError:
            pass
    return 'processes left behind: ' + ', '.join(names)


def host_traces():
    """What a sandbox could leave on the host: mounts, named sockets, temporary files."""
    traces = set()
    with open('/proc/self/mountinfo') as file:
        # other people's mounts come and go
        traces |= {'mount ' + place for place in (line.split()[4] for line in file)
                   if place.startswith((TOP, '/tmp', '/dev/shm', '/run')) or 'vmm' in place or 'gofer' in place}
    with open('/proc/net/unix') as file:
        for line in file:
            words = line.split()
            if len(words) > 7 and ('vmm' in words[7] or 'gofer' in words[7]):
                traces.add('socket ' + words[7])
    for node in ('/dev/null', '/dev/zero', '/dev/kvm', '/dev/tty'):
        if os.path.exists(node):
            st = os.stat(node)
            traces.add(f'{node} with mode {st.st_mode:o} of {st.st_uid}:{st.st_gid}')
    for place in ('/tmp', '/dev/shm', '/run', '/var/tmp', '/'):
        try:
            traces |= {f'file {place}/{name}' for name in os.listdir(place) if 'vmm' in name or 'gofer' in name}
        except OSError:
            pass
    return traces


# --- cases ---------------------------------------------------------------------------------------


class Case:
    """One line `name | command | stdin file | flags` of a list."""

    FLAGS = {'hw', 'host', 'soak', 'expected', 'sort', 'nostderr', 'root', 'tty'}
    VALUES = {'timeout', 'opts', 'status', 'only'}

    def __init__(self, line, where, settings):
        fields = [field.strip() for field in re.split(r'\s\|(?=\s|$)', line)]
        fields += [''] * (4 - len(fields))
        self.name, command, self.stdin, flags = fields[:4]
        self.flags, self.values = set(), {}
        for word in shlex.split(flags):
            key, equals, value = word.partition('=')
            if equals and key in self.VALUES:
                self.values[key] = value
            elif not equals and word in self.FLAGS:
                self.flags.add(word)
            else:
                raise SystemExit(f'{where}: {word}: unknown flag')
        if not self.name or not command:
            raise SystemExit(f'{where}: a case needs a name and a command')
        self.settings = settings
        self.data_used = '{D}' in command
        self.argv = [self.fill(word) for word in shlex.split(command)]
        self.options = [self.fill(word) for word in shlex.split(self.values.get('opts', ''))]
        self.timeout = float(self.values.get('timeout', 60)) * settings.slow

    def fill(self, text):
        return (text.replace('{G}', self.settings.guest_dir).replace('{D}', self.settings.data_dir)
                .replace('{T}', TOP))

    def execute(self, log):
        settings = self.settings
        program = shutil.which(self.argv[0], path=PATH)
        if program is None:
            raise Skip(f'{self.argv[0]}: not installed')
        if 'host' in self.flags and settings.machine:
            raise Skip("the test machine's kernel and files differ natively")
        if 'root' in self.flags and os.getuid() != 0:
            raise Skip('needs root')
        stdin = None
        if self.stdin:
            stdin = self.fill(self.stdin)
            if not stdin.startswith('/'):
                stdin = os.path.join(settings.data_dir, stdin)
        options = list(self.options)
        if self.data_used:
            options = ['--bind', f'{settings.data_dir}:{settings.data_dir}'] + options
        command = [settings.vmm] + options + ['--app', self.argv[0], '--'] + self.argv[1:]
        log.write('vm: ' + shlex.join(command) + '\n')

        if 'expected' in self.flags:
            base = os.path.join(HERE, 'expected', self.name.replace('/', '-'))
            want = Result(int(self.values.get('status', 0)), read_or(base + '.out', b''), read_or(base + '.err', b''), 0)
        else:
            want = run(self.argv, stdin=stdin, timeout=self.timeout, native=True)
            log_result(log, 'native', want)
            if want.timed_out:
                raise Failure(f'the native run took more than {self.timeout:.0f} s:\n{want.hung}')
            if 'status' in self.values and want.status != int(self.values['status']):
                raise Failure(f'the native run ended with {want.status}, not {self.values["status"]}: '
                              + shorten(want.out + want.err))
        if settings.native_only:
            if 'expected' in self.flags:
                return
            command = self.argv
        got = run(command, stdin=stdin, timeout=self.timeout, native=settings.native_only)
        log_result(log, 'vm', got)
        if settings.native_only:
            got.killed_by = 0
        self.compare(want, got)

    def compare(self, want, got):
        problems = []
        if got.timed_out:
            problems.append(f'timed out after {self.timeout:.0f} s:\n{got.hung}')
        elif want.status != got.status:
            problems.append(f'exit status {got.status}, native {want.status}')
        if got.killed_by:
            problems.append(f'vmm itself was ended by signal {got.killed_by}')
        pairs = [('stdout', want.out, got.out)]
        if 'nostderr' not in self.flags:
            err = got.err
            if want.killed_by and not self.settings.native_only:  # vmm adds one line that says what happened where
                err = b''.join(line for line in err.splitlines(True) if not line.startswith(b'vmm: '))
            pairs.append(('stderr', want.err, err))
        for name, a, b in pairs:
            if 'sort' in self.flags:
                a, b = (b'\n'.join(sorted(text.split(b'\n'))) for text in (a, b))
            if a != b:
                problems.append(f'{name} differs:\n' + difference(a, b))
        if problems:
            if 'nostderr' in self.flags and got.err:
                problems.append('stderr: ' + shorten(got.err))
            raise Failure('\n'.join(problems))


class Check:
    """One function of checks_*.py."""

    def __init__(self, function, settings):
        self.name, self.function, self.settings = 'check/' + function.__name__.replace('_', '-'), function, settings
        self.flags = set(function.flags)

    def execute(self, log):
        if self.settings.native_only:
            raise Skip('needs vmm')
        self.function(self.settings, log)


def read_or(path, default):
    try:
        with open(path, 'rb') as file:
            return file.read()
    except FileNotFoundError:
        return default


def shorten(data, limit=600):
    text = data.decode('utf-8', 'backslashreplace')
    return text if len(text) <= limit else text[:limit] + f'… ({len(text)} characters)'


def difference(a, b, limit=40):
    """A short unified diff of native and vm output; sizes and first offset if it is binary or large."""
    if len(a) + len(b) > 1 << 20 or b'\0' in a or b'\0' in b:
        at = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
        return f'  native {len(a)} bytes, vm {len(b)} bytes, first difference at {at}'
    lines = list(difflib.unified_diff(a.decode('utf-8', 'backslashreplace').splitlines(),
                                      b.decode('utf-8', 'backslashreplace').splitlines(),
                                      'native', 'vm', lineterm='', n=1))
    text = ['  ' + line[:300] for line in lines[:limit]]
    if len(lines) > limit:
        text.append(f'  … {len(lines) - limit} more lines of diff')
    if not lines:
        text.append('  only in the end of the last line')
    return '\n'.join(text)


def log_result(log, title, result):
    log.write(f'--- {title}: status {result.status}, {result.seconds:.3f} s\n')
    for name, data in (('stdout', result.out), ('stderr', result.err)):
        if data:
            log.write(f'[{name}]\n{shorten(data, 20000)}\n')
    log.flush()


def perform(case):
    """In a worker: run one case. Returns (verdict, name, text, seconds)."""
    settings = case.settings
    start = time.monotonic()
    os.makedirs(settings.log_dir, exist_ok=True)
    with open(os.path.join(settings.log_dir, case.name.replace('/', '-') + '.log'), 'w') as log:
        try:
            if settings.skip_reason:
                raise Skip(settings.skip_reason)
            try:
                case.execute(log)
                verdict, text = 'PASS', ''
            finally:
                left = reap_leftovers(3 * settings.slow)
            if left:
                verdict, text = 'FAIL', left
        except Skip as reason:
            verdict, text = 'SKIP', str(reason)
        except Failure as failure:
            verdict, text = 'FAIL', str(failure)
        except Exception:  # a bug in a check is a failure of that check only
            verdict, text = 'FAIL', traceback.format_exc()
        log.write(f'{verdict} {text}\n')
    return verdict, case.name, text, time.monotonic() - start


def start_worker():
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def load(settings, lists):
    cases = []
    for path in lists:
        with open(path) as file:
            for number, line in enumerate(file, 1):
                line = line.rstrip('\n')
                if line.strip() and not line.startswith('#'):
                    cases.append(Case(line, f'{path}:{number}', settings))
    return cases


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('patterns', nargs='*', metavar='PATTERN', help='run only cases whose name matches')
    parser.add_argument('--list', action='append', dest='lists', help='list file (default: cases.list)')
    parser.add_argument('--no-checks', action='store_true', help='leave out the checks_*.py')
    parser.add_argument('--vmm', default=os.environ.get('VMM', os.path.join(TOP, 'build/vmm')))
    parser.add_argument('--guest-dir', default=os.path.join(TOP, 'build/guest-tests'))
    parser.add_argument('--data-dir', default=os.path.join(HERE, 'data'))
    parser.add_argument('--log-dir', default=os.path.join(TOP, 'build/e2e'))
    parser.add_argument('--hw', action='store_true', help="run the share of make check-hw only")
    parser.add_argument('--machine', action='store_true', help='this is the test machine of tests/hw')
    parser.add_argument('--soak', action='store_true', help='run the long cases only')
    parser.add_argument('--native-only', action='store_true', help='check the tests: compare two native runs')
    parser.add_argument('--jobs', type=int, default=2)
    parser.add_argument('--slow', type=float, default=1, help='multiply every timeout by this')
    parser.add_argument('--have-kvm', action='store_true', help='only tell by the exit status if KVM is usable')
    parser.add_argument('-v', '--verbose', action='store_true', help='show the time of each case')
    return parser.parse_args()


def main():
    settings = parse_arguments()
    if settings.have_kvm:
        sys.exit(1 if kvm_problem() else 0)
    settings.vmm, settings.guest_dir, settings.data_dir, settings.log_dir = (
        os.path.realpath(path) for path in (settings.vmm, settings.guest_dir, settings.data_dir, settings.log_dir))
    settings.skip_reason = None
    if not settings.native_only:
        settings.skip_reason = kvm_problem()
        if settings.skip_reason:
            if os.environ.get('REQUIRE_KVM'):
                sys.exit('run.py: ' + settings.skip_reason)
            print(f'no usable KVM ({settings.skip_reason}): tests that need it are skipped', flush=True)
        elif not os.access(settings.vmm, os.X_OK):
            sys.exit(f'run.py: {settings.vmm}: not there; build it first')
    cases = load(settings, settings.lists or [os.path.join(HERE, 'cases.list')])
    if not settings.no_checks:
        for name in sorted(os.listdir(HERE)):
            if re.fullmatch(r'checks\w*\.py', name):
                importlib.import_module(name[:-3])
        cases += [Check(function, settings) for function in sys.modules['checks'].CHECKS]
    names = [case.name for case in cases]
    if len(set(names)) != len(names):
        sys.exit('run.py: two cases have the name ' + next(name for name in names if names.count(name) > 1))
    cases = [case for case in cases if ('soak' in case.flags) == settings.soak]
    if settings.hw:
        cases = [case for case in cases if 'hw' in case.flags]
    if settings.patterns:
        cases = [case for case in cases if any(fnmatch.fnmatch(case.name, p) for p in settings.patterns)]

    counts = {'PASS': 0, 'FAIL': 0, 'SKIP': 0}
    before = host_traces()
    # fork, so that cases need no pickling: a worker is handed an index into the list
    global ALL
    ALL = cases
    context = multiprocessing.get_context('fork')
    with context.Pool(settings.jobs, start_worker) as pool:
        for verdict, name, text, seconds in pool.imap(perform_index, range(len(cases))):
            counts[verdict] += 1
            took = f' ({seconds:.2f} s)' if settings.verbose else ''
            if verdict == 'FAIL':
                print(f'FAIL {name}{took}')
                print('    ' + text.rstrip('\n').replace('\n', '\n    '))
            else:
                print(f'{verdict} {name}{took}' + (f': {text}' if text else ''))
            sys.stdout.flush()
    left = host_traces() - before
    if left:
        counts['FAIL'] += 1
        print('FAIL left-behind\n    ' + '\n    '.join(sorted(left)))
    print('{PASS} passed, {FAIL} failed, {SKIP} skipped'.format(**counts))
    sys.exit(1 if counts['FAIL'] else 0)


def perform_index(index):
    return perform(ALL[index])


if __name__ == '__main__':
    main()
