"""Signals of the host, deaths of vmm and gofer, kicks."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import __main__ as runner
from checks import (check, descendants, expect, Failure, finish, gofer_of, gone, guest, require, shell, Skip, start,
                    vmm, wait_line, workdir, write_file)


# --- signals of the host, deaths ----------------------------------------------------------------


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
                 'print("ready", flush=True)\nwhile True: pass',
                 # the same thread, after the death has found it waiting
                 'import os; print("ready", flush=True)\ntry: os.read(0, 1)\nexcept OSError: pass\nwhile True: pass'):
        process = start(settings, '--app', '/usr/bin/python3', '--', '-c', code, stdin=subprocess.PIPE)
        wait_line(process.stdout, 30 * settings.slow)
        time.sleep(0.1 * settings.slow)
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


# --- kicks --------------------------------------------------------------------------------------


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


@check('hw')
def kicks_at_breakpoints(settings, log):
    """KVM tells nobody that a breakpoint is queued: none may be lost to a kick, or be taken for a call of the shim's."""
    for us in ('30', '100', '300'):
        expect(vmm(settings, log, '--debug-kick-us', us, '--app', guest(settings, 'breakpoints'), '3000'), 0, None, b'')


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
