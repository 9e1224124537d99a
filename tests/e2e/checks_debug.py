"""strace and gdb inside the sandbox: what they say there is what they say natively, but for numbers that differ anyway."""

import difflib
import os
import re
import shutil
import subprocess
import tempfile

import __main__ as runner
from checks import check, require

Failure, Skip = runner.Failure, runner.Skip

SCRIPT = """
echo hello | cat | tr a-z A-Z
x=$(ls /usr/share/common-licenses | head -n 2)
echo "$x"
(exit 3); echo $?
kill -USR1 $$
"""


def normal(text):
    """Addresses, process numbers and sizes are the run's own."""
    text = re.sub(r'0x[0-9a-f]+', 'ADDRESS', text)
    text = re.sub(r'(LWP|process|pid|tid|PID|inotify|si_pid=|child_tidptr=)[ =]*\d+', r'\1 N', text)
    return re.sub('  +', ' ', text)


def run(settings, log, where, program):
    """Run it in a directory of its own, which it sees at the same place; text that came out, and status."""
    command = program if where == 'native' else [settings.vmm, '--bind', f'{log.directory}:{log.directory}:rw', '--cwd',
                                                 log.directory, *program]
    result = runner.run(command, timeout=60 * settings.slow, cwd=log.directory)
    log.write(f'{where}: {result.status}\n{result.out.decode()}\n{result.err.decode()}\n')
    return result


def compare(log, texts):
    native, vm = (texts[where].splitlines() for where in ('native', 'vm'))
    if native != vm:
        raise Failure('\n'.join(difflib.unified_diff(native, vm, 'native', 'vm', lineterm='', n=1)))


class Place:
    """The log, with a directory that goes with the case."""

    def __init__(self, log):
        self.log = log
        self.directory = tempfile.mkdtemp(prefix='vmm-debug-')

    def write(self, text):
        self.log.write(text)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.directory)


def need(*programs):
    for program in programs:
        if not shutil.which(program):
            raise Skip(f'{program} is not there')


def build(settings, place):
    source = os.path.join(runner.HERE, 'data', 'debuggee.c')
    program = os.path.join(place.directory, 'debuggee')
    subprocess.run(['gcc', '-g', '-O0', '-pthread', '-fdebug-prefix-map=' + os.path.dirname(source) + '=.', '-o', program, source],
                   check=True)
    return program


def calls(directory):
    """One text for each process, in the order of their numbers: which calls it made, and how they ended."""
    parts = []
    for name in sorted(os.listdir(directory), key=lambda name: int(name.rsplit('.', 1)[1])):
        with open(os.path.join(directory, name)) as file:
            text = re.sub(r'^.*= \? ERESTART.*\n', '', file.read(), flags=re.M)  # by SIGCHLD, at some time
        text = re.sub(r'^(wait4|read|write|clone|vfork|rt_sigreturn|rt_sigaction|set_tid_address|getpid|getppid|ioctl)\(.*', r'\1', text, flags=re.M)
        text = re.sub(r'^(?!---|\+\+\+)(\w+).*?( = -1 E\w+)?[^=\n]*$', r'\1\2', text, flags=re.M)
        lines = [line for line in text.splitlines() if 'SIGCHLD' not in line and line not in ('wait4', 'rt_sigreturn')]
        # dash sets handlers anew when a signal came at such a time
        lines = [line for i, line in enumerate(lines) if line != 'rt_sigaction' or lines[i - 1:i] != [line]]
        parts.append('\n'.join(lines))
    return normal('\n\n'.join(parts))


@check('hw')
def strace_follows_a_script(settings, log):
    need('strace')
    texts, status = {}, {}
    with Place(log) as place:
        for where in ('native', 'vm'):
            traces = os.path.join(place.directory, where)
            os.mkdir(traces)
            result = run(settings, place, where, ['/usr/bin/strace', '-ff', '-o', f'{traces}/trace', '/bin/sh', '-c', SCRIPT])
            texts[where] = calls(traces) + '\n' + result.out.decode()
            status[where] = result.status
    require(texts['native'].count('execve') >= 5, 'few programs were traced')
    compare(log, texts)
    require(status['native'] == status['vm'] == 128 + 10, f'{status}')


@check()
def strace_counts_and_injects(settings, log):
    need('strace')
    texts = {}
    with Place(log) as place:
        for where in ('native', 'vm'):
            result = run(settings, place, where, ['/usr/bin/strace', '-e', 'trace=write', '-e', 'inject=write:error=ENOSPC:when=1', '/bin/echo', 'text'])
            texts[where] = f'{result.status} {result.out} {normal(result.err.decode())}'
    compare(log, texts)


GDB = ['/usr/bin/gdb', '-batch', '-nx', '-ex', 'set width 0', '-ex', 'set can-use-hw-watchpoints 0', '-ex', 'set debuginfod enabled off']


def gdb(settings, log, *commands, shell=None):
    need('gdb')
    texts = {}
    with Place(log) as place:
        build(settings, place)
        for where in ('native', 'vm'):
            command = GDB + [word for text in commands for word in ('-ex', text)]
            result = run(settings, place, where, command + ['./debuggee'] if not shell else
                         ['/bin/sh', '-c', shell, 'sh', *command])
            texts[where] = f'status {result.status}\n' + normal(result.out.decode())
    compare(log, texts)
    return texts['vm']


@check('hw')
def gdb_breaks_and_steps(settings, log):
    text = gdb(settings, log, 'break inner', 'run', 'backtrace', 'info registers rip cs ss', 'print n', 'set var n = 10',
               'delete', 'watch global', 'continue', 'delete', 'print global', 'finish', 'step', 'stepi', 'x/2i $pc',
               'print $xmm0.v4_int32[0] == 0 || 1', 'break thread_body', 'continue', 'thread', 'backtrace 1', 'delete',
               'tbreak raise', 'continue', 'info threads', 'continue', 'continue')
    require('Breakpoint 1, inner' in text and 'SIGUSR1' in text, text)
    require('New Thread' in text, text)


@check()
def gdb_attaches(settings, log):
    text = gdb(settings, log, 'break inner', 'continue', 'info symbol $pc', 'set var global = 5', 'stepi', 'print global > 0', 'delete',
               'kill',
               shell='./debuggee loop & p=$!; sleep 0.3; "$@" -p $p 2>&1 | grep -v "^#\\|syscall\\|nanosleep\\|^[0-9]*.in\\|Breakpoint 1, inner"; wait $p; echo $?')
    require('137' in text, text)
