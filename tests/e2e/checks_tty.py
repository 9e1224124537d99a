"""--tty, and interactive programs: driven over a pseudo-terminal natively and in the VM, with equal transcripts."""

import difflib
import os
import re
import signal
import termios
import time

import __main__ as runner
from checks import Terminal, check, guest, require

Failure, Skip = runner.Failure, runner.Skip

BASH = ['/bin/bash', '--norc', '--noprofile', '--noediting', '-i']


def drive(settings, log, native, program, steps):
    """What the terminal showed, and the exit status. Each step: keys, and what must be shown before the next."""
    if not os.path.exists(program[0]):
        raise Skip(f'{program[0]} is not there')
    if native:
        terminal = Terminal(settings, *program[1:], program=program[0])
    else:
        terminal = Terminal(settings, '--tty', '--app', program[0], '--', *program[1:])
    terminal.resize(24, 80)
    for keys, wanted in steps:
        if keys < b' ':
            time.sleep(0.3 * settings.slow)  # until the program that is to be hit is in the foreground
        terminal.send(keys)
        if wanted:
            terminal.expect(wanted, 30 * settings.slow)
    status = terminal.finish(30 * settings.slow)
    text = (terminal.shown + terminal.text).decode(errors='backslashreplace')
    log.write(f'{"native" if native else "vm"}: status {status}\n{text}\n')
    text = re.sub(r'(\[\d+\]) \d+(?=\r)', r'\1 PID', text)
    text = text.replace('\x1b[?4m', '')  # vim asks the terminal for its keyboard's mode when it finds nothing typed, whenever that is
    return text.splitlines(), status


def compare(settings, log, program, steps):
    """
    Where two programs write at once the order differs from run to run, natively too; so up to five runs each, until one in the VM
    shows what some native one did.
    """
    seen = {True: [], False: []}
    for last in (False, False, False, False, True):
        try:
            for where in (True, False):
                seen[where].append(drive(settings, log, where, program, steps))
        except Failure: # keys that came before their program was ready for them
            if last:
                raise
        if any(vm in seen[True] for vm in seen[False]):
            return
    native, vm = seen[True][-1], seen[False][-1]
    diff = '\n'.join(difflib.unified_diff(native[0], vm[0], 'native', 'vm', lineterm='', n=1))
    raise Failure(f'status {vm[1]}, native {native[1]}\n{diff}')


@check('hw')
def tty_bash_jobs(settings, log):
    """Job control: stop, background, foreground, interrupt, a background reader, the terminal's modes."""
    prompt = b'READY> '
    compare(settings, log, BASH, [
        (b'', b'# ' if os.geteuid() == 0 else b'$ '),
        (b"PS1='REA''DY> '\r", prompt),
        (b'stty size; stty | head -1; tty | sed s/[0-9]*$//\r', prompt),
        (b'sleep 1000\r', b'sleep 1000\r\n'),
        (b'\x1a', prompt),
        (b'jobs\r', prompt),
        (b'bg\r', prompt),
        (b'kill %1; wait %1; echo status $?\r', prompt),
        (b'cat &\r', prompt),
        (b'sleep 0.2\r', prompt),
        (b'jobs\r', prompt),
        (b'fg\r', b'cat\r\n'),
        (b'typed\r', b'typed\r\ntyped\r\n'),
        (b'\x04', prompt),
        (b'cat | cat | cat\r', b'cat | cat | cat\r\n'),
        (b'through pipes\r', b'pipes\r\nthrough pipes\r\n'),
        (b'\x03', prompt),
        (b'echo $?\r', prompt),
        (b'(trap "echo interrupted; exit 3" INT; echo waiting; while :; do sleep 0.05; done)\r', b'waiting\r\n'),
        (b'\x03', prompt),
        (b'stty -echo; read x; stty echo; echo "<$x>"\r', b'echo "<$x>"\r\n'),
        (b'secret\r', prompt),
        (b'erasee\x7f\x17echo word\r', prompt),
        (b'set -o notify; sleep 0.1 & wait\r', prompt),
        (b'exit 5\r', b'exit\r\n'),
    ])


@check()
def tty_python_pty(settings, log):
    """A terminal in the terminal: Python's pty module; and script(1)."""
    compare(settings, log, ['/usr/bin/python3', '-c',
                            'import pty; print(pty.spawn(["sh", "-c", "tty >/dev/null && stty size; read x; echo got $x"]))'],
            [(b'', b'\n'), (b'hello\r', b'got hello\r\n')])
    compare(settings, log, ['/usr/bin/script', '-qec', 'echo out; read x; echo "<$x>"; exit 4', '/dev/null'],
            [(b'', b'out\r\n'), (b'typed\r', b'<typed>\r\n')])


@check()
def tty_less(settings, log):
    compare(settings, log, ['/usr/bin/less', '/usr/share/common-licenses/Artistic'],
            [(b'', b'Artistic'), (b' ', b'\x1b[K'), (b'/Package\r', b'\x1b[K'), (b'G', b'(END)'), (b'q', b'')])


@check()
def tty_vi(settings, log):
    """An editor that draws the whole screen; the file that it wrote shows what it understood."""
    command = ['/usr/bin/vim.tiny', '-u', 'NONE', '/tmp/vmm-vi']
    if not os.path.exists(command[0]):
        raise Skip(f'{command[0]} is not there')
    compare(settings, log, ['/bin/sh', '-c', 'rm -f /tmp/vmm-vi; "$@"; cat /tmp/vmm-vi; rm /tmp/vmm-vi', 'sh', *command], [
        (b'', b'~'),
        (b'ifirst line\rsecond', b'second'),
        (b'\x1b', b''),
        (b'kyyp', b''),
        (b':s/first/third/\r', b'third'),
        (b':wq\r', b'\nsecond\r\n'),
    ])


@check()
def tty_restored(settings, log):
    """The host's terminal is as before after the program's end, its death, and vmm's."""
    def modes(terminal):
        return termios.tcgetattr(terminal.fd)[:4]

    for how in ('exit', 'killed inside', 'vmm killed', 'timeout'):
        options = ['--timeout', f'{2 * settings.slow}s'] if how == 'timeout' else []
        terminal = Terminal(settings, *options, '--tty', '--app', '/bin/sh', '--', '-c', 'echo on; read x; kill -$x $$; exit 3')
        before = modes(terminal)
        terminal.expect(b'on\r\n', 20 * settings.slow)
        require(modes(terminal) != before, 'the terminal is not raw')
        if how == 'vmm killed':
            os.kill(terminal.pid, signal.SIGKILL)
        elif how != 'timeout':
            terminal.send(b'9\r' if how == 'killed inside' else b'0\r')
        deadline = time.monotonic() + 20 * settings.slow
        while modes(terminal) != before and time.monotonic() < deadline:
            time.sleep(0.02)
        require(modes(terminal) == before, f'{how}: modes are {modes(terminal)}, not {before}')
        status = terminal.finish(20 * settings.slow)
        wanted = {'exit': 3, 'killed inside': 137, 'vmm killed': -9, 'timeout': 137}[how]
        require(status == wanted, f'{how}: status {status}, not {wanted}; {terminal.text!r}')


@check()
def tty_resized(settings, log):
    terminal = Terminal(settings, '--tty', '--app', guest(settings, 'tty'), 'size')
    terminal.expect(b'size 0 0')
    terminal.resize(33, 77)
    terminal.expect(b'size 33 77')
    terminal.send(b'end\r')
    status = terminal.finish()
    require(status == 0, f'status {status}: {terminal.text!r}')


@check()
def tty_without_terminal(settings, log):
    """Input and output may be anything: the end of input is typed as ^D."""
    result = runner.run([settings.vmm, '--tty', '/bin/sh', '-c', 'cat; tty'], stdin=b'one\ntwo', timeout=30 * settings.slow)
    require(result.status == 0, f'status {result.status}')
    require(b'two/dev/pts/0\r\n' in result.out, f'{result.out!r}')
