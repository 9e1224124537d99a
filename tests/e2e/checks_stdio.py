"""stdin, stdout, stderr: pipes, files, closed ones, terminals."""

import contextlib
import hashlib
import os
import select
import subprocess
import time

import __main__ as runner
from checks import (check, expect, Failure, finish, guest, require, shell, start, Terminal, vmm, wait_line, workdir,
                    write_file)


# --- stdio --------------------------------------------------------------------------------------


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
