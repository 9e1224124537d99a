"""--strace, --report, --stats, --profile."""

import json
import os
import re
import stat

from checks import check, expect, expect_message, guest, require, shell, vmm, workdir


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


@check()
def prefault_option(settings, log):
    """With --prefault a program runs as without, and meets fewer page faults."""
    with workdir() as folder:
        path = folder + '/report.json'
        outputs, faults = [], []
        for options in ([], ['--prefault']):
            result = expect(vmm(settings, log, *options, '--report', path, '--app', guest(settings, 'memory_random'), '300'), 0)
            outputs.append(result.out)
            with open(path) as file:
                faults.append(json.load(file)['guest']['faults'])
        log.write(f'{faults}\n')
        require(outputs[0] == outputs[1], 'the outputs differ')
        require(faults[1] < faults[0], 'there were no fewer faults')


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
        require(exits - waits <= 16, f'/bin/true takes {exits} exits, {waits} of them with the gofer')
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
