"""What all checks_*.py share: starting vmm, comparing, waiting.

Each check function is a case of run.py: `function(settings, log)`, which raises Failure or Skip, or returns.
Those that need no sandbox to run programs (bad input) still start vmm.
"""

import contextlib
import fcntl
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
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
