#!/usr/bin/python3
"""Measure vmm beside native runs, runsc and crun, in turn in the same run. Nothing passes or fails here.

    bench/bench.py [--rounds N] [--vmm PATH] [--guest-dir DIR] [--out DIR] [GROUP...]

GROUP: start (start to exit), memory (per idle sandbox), io, calls, compute, files, disks, net, tap; all of them if none is named.
Prints a table, and writes it with all samples to DIR/bench.json and DIR/bench.txt, and with gnuplot, where that is installed, as
a picture to DIR/bench.svg. Cases with a goal say whether vmm meets it; none is left out because it doesn't. Each value is a median with
the range from the first to the third quartile; runners take turns within a round, so that a
load on the machine falls on all of them alike.
"""

import argparse
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import disks
import files
import net
import tap

TOP = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
ENVIRONMENT = {'PATH': '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'HOME': '/root',
               'TERM': 'xterm', 'LANG': 'C.UTF-8'}


def stdio():
    """Empty input and discarded output that are not the host's /dev/null: `runsc do` changes the owner of what it is handed."""
    read_end, write_end = os.pipe()
    os.close(write_end)
    return {'stdin': read_end, 'stdout': SINK, 'stderr': SINK, 'close_fds': True}


# an unlinked file; what these programs say is short
SINK = tempfile.TemporaryFile()


# What vmm is to reach: (bound on the ratio to native, bound on the value itself), either of them or both added up. Shorter is better
# but for compute, where it is a throughput's lower bound.
GOALS = {
    'getpid by syscall': (0.25, None),
    'clock_gettime': (1.1, None),
    'read of 1 byte from /dev/zero': (0.5, None),
    'write of 1 byte to /dev/null': (0.5, None),
    'pipe ping-pong, two threads': (0.1, None),
    'futex ping-pong, two threads': (0.1, None),
    'first touch of a page, of 64 MiB': (0.6, None),
    'mmap, touch and munmap of 1 MiB': (0.8, None),
    'thread, created and joined': (0.5, None),
    'fork, exit and wait': (8, None),
    'fork, exec and wait': (5, None),
    'start to exit: /bin/true': (None, 10),
    'start to exit: python3 -c pass': (1.5, 10),
    'host memory per idle sandbox: PSS': (1, 4096),
    'sha256 by openssl speed': (0.98, None),
    'loop in C': (0.98, None),
    'loop in python3': (0.98, None),
}


# --- runners: how each of them starts a program ---------------------------------------------------------


class Native:
    name = 'native'

    def command(self, argv):
        return argv

    def close(self):
        pass


class Vmm(Native):
    name = 'vmm'

    def __init__(self, path):
        self.path = path

    def command(self, argv, *options):
        return [self.path, *options, '--app', argv[0], '--', *argv[1:]]


class Runsc(Native):
    """gVisor by `runsc do`, with the platform that works: systrap where the version has it, else ptrace."""
    name = 'runsc'

    def __init__(self):
        self.options = None
        for platform_name in ('systrap', 'ptrace'):
            for mode in ([], ['--rootless']):
                options = mode + [f'--platform={platform_name}', '--network=none']
                try:
                    done = subprocess.run(['runsc', *options, 'do', '/bin/true'], env=ENVIRONMENT, cwd='/', timeout=20,
                                          input=b'', stdout=SINK, stderr=SINK)
                except (OSError, subprocess.TimeoutExpired):
                    continue
                if done.returncode == 0:
                    self.options, self.name = options, f'runsc ({platform_name})'
                    return
        raise RuntimeError('runsc: not usable here')

    def command(self, argv):
        return ['runsc', *self.options, 'do', *argv]


class Crun(Native):
    """crun with a bundle whose root is the host's, read-only; on hosts with hybrid cgroups in a mount namespace."""
    name = 'crun'
    counter = 0

    def __init__(self):
        if not shutil.which('crun'):
            raise RuntimeError('crun: not installed')
        if os.getuid() != 0:
            raise RuntimeError('crun: measured as root only')
        self.folder = tempfile.mkdtemp(prefix='bench-crun-')
        subprocess.run(['crun', 'spec'], cwd=self.folder, check=True, stdout=subprocess.DEVNULL)
        with open(self.folder + '/config.json') as file:
            self.config = json.load(file)
        process, linux = self.config['process'], self.config['linux']
        process['terminal'] = False
        process['env'] = [f'{key}={value}' for key, value in ENVIRONMENT.items()]
        self.config['root'] = {'path': 'rootfs', 'readonly': True}
        linux.pop('resources', None)
        linux['namespaces'] = [n for n in linux['namespaces'] if n['type'] != 'cgroup']
        self.config['mounts'] = [m for m in self.config['mounts'] if m['type'] != 'cgroup']
        os.mkdir(self.folder + '/rootfs')
        # one mount namespace for all runs, held open by a sleeping process; entering it costs a setns and an exec
        self.holder = subprocess.Popen(
            ['unshare', '-m', 'sh', '-c', 'umount -l /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup; '
             'mount --bind / "$0/rootfs" && echo ready && exec sleep 86400', self.folder],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.holder.stdout.readline()
        done = subprocess.run(self.command(['/bin/true']), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, env=ENVIRONMENT)
        if done.returncode != 0:
            self.close()
            raise RuntimeError('crun: not usable here: ' + done.stderr.decode().strip())

    def command(self, argv):
        self.config['process']['args'] = argv
        with open(self.folder + '/config.json', 'w') as file:
            json.dump(self.config, file)
        Crun.counter += 1
        return ['nsenter', '-m', '-t', str(self.holder.pid), 'crun', '--cgroup-manager=disabled', 'run', '--bundle',
                self.folder, f'bench-{os.getpid()}-{Crun.counter}']

    def close(self):
        self.holder.kill()
        self.holder.wait()
        # never a recursive removal: below rootfs is the host's root, if only in the holder's mount namespace
        os.unlink(self.folder + '/config.json')
        os.rmdir(self.folder + '/rootfs')
        os.rmdir(self.folder)


def find_runners(settings):
    runners = [Native()]
    if os.access(settings.vmm, os.X_OK):
        runners.append(Vmm(settings.vmm))
    else:
        print(f'bench: {settings.vmm}: not there, left out', file=sys.stderr)
    for kind in (Runsc, Crun):
        try:
            runners.append(kind())
        except (RuntimeError, OSError) as problem:
            print(f'bench: {problem}; left out', file=sys.stderr)
    return runners


# --- measuring -----------------------------------------------------------------------------------


def timed(command):
    """Seconds from start to exit, and what came out; None if it failed."""
    begin = time.perf_counter()
    done = subprocess.run(command, input=b'', stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT, cwd='/')
    took = time.perf_counter() - begin
    if done.returncode != 0:
        return None, done.stderr
    return took, done.stdout


class Samples:
    """One measured thing: samples per runner."""

    def __init__(self, title, unit, lower_is_better=True):
        self.title, self.unit, self.lower = title, unit, lower_is_better
        self.values = {}

    def add(self, runner, value):
        self.values.setdefault(runner, []).append(value)

    def goal(self):
        """What is wanted as text, and whether the median of vmm is there; None without a goal."""
        if self.title not in GOALS or 'vmm' not in self.values or 'native' not in self.values:
            return None
        ratio, value = GOALS[self.title]
        bound = (ratio or 0) * statistics.median(self.values['native']) + (value or 0)
        median = statistics.median(self.values['vmm'])
        text = ' + '.join(filter(None, [f'{ratio:g}×' if ratio else '', f'{value:g} {self.unit}' if value else '']))
        return ('≤ ' if self.lower else '≥ ') + text, (median <= bound) if self.lower else (median >= bound)

    def summary(self):
        result = {}
        native = self.values.get('native')
        base = statistics.median(native) if native else None
        for runner, values in self.values.items():
            quartiles = statistics.quantiles(values, n=4) if len(values) > 1 else [values[0]] * 3
            median = statistics.median(values)
            result[runner] = {'median': median, 'q1': quartiles[0], 'q3': quartiles[2], 'samples': values,
                              'ratio_to_native': median / base if base else None}
        return result


def start_to_exit(settings, runners, results):
    programs = [('start to exit: /bin/true', ['/bin/true']),
                ('start to exit: static hello', [os.path.join(settings.guest_dir, 'hello-static')]),
                ('start to exit: python3 -c pass', ['/usr/bin/python3', '-c', 'pass'])]
    for title, argv in programs:
        if not os.access(argv[0], os.X_OK):
            continue
        samples = Samples(title, 'ms')
        for number in range(settings.rounds * 4 + 1):
            for runner in runners:
                took, _ = timed(runner.command(argv))
                if took is not None and number > 0:  # the first round warms the caches
                    samples.add(runner.name, took * 1000)
        results.append(samples)


def processes_below(pid):
    found = [pid]
    try:
        for task in os.listdir(f'/proc/{pid}/task'):
            with open(f'/proc/{pid}/task/{task}/children') as file:
                for child in file.read().split():
                    found += processes_below(int(child))
    except FileNotFoundError:
        pass
    return found


def pss_kib(pids):
    total = 0
    for pid in pids:
        try:
            with open(f'/proc/{pid}/smaps_rollup') as file:
                total += int(re.search(r'^Pss:\s+(\d+)', file.read(), re.M)[1])
        except (FileNotFoundError, ProcessLookupError, TypeError, PermissionError):
            pass
    return total


def available_kib():
    with open('/proc/meminfo') as file:
        return int(re.search(r'MemAvailable:\s+(\d+)', file.read())[1])


def runsc_processes():
    """runsc's sandbox and gofer are not children of `runsc do`'s caller in every mode: all of that name."""
    found = []
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open(f'/proc/{pid}/cmdline', 'rb') as file:
                if b'runsc' in file.read().split(b'\0')[0]:
                    found.append(int(pid))
        except OSError:
            pass
    return found


def idle_memory(settings, runners, results):
    """Twenty sandboxes that sleep: PSS of all their processes, and the change of MemAvailable, per sandbox."""
    pss = Samples('host memory per idle sandbox: PSS', 'KiB')
    available = Samples('host memory per idle sandbox: MemAvailable', 'KiB')
    count = settings.sandboxes
    for number in range(settings.rounds):
        for runner in runners:
            commands = [runner.command(['/bin/sleep', '1000']) for _ in range(count)] if not isinstance(runner, Crun) else None
            before_others = set(runsc_processes())
            before = available_kib()
            started = []
            for index in range(count):
                command = commands[index] if commands else runner.command(['/bin/sleep', '1000'])
                files = stdio()
                started.append(subprocess.Popen(command, env=ENVIRONMENT, cwd='/', **files))
                os.close(files['stdin'])
                if commands is None:
                    time.sleep(0.1)  # the bundle's file is read at start
            time.sleep(3 if 'runsc' in runner.name else 1.5)
            pids = set()
            for process in started:
                pids |= set(processes_below(process.pid))
            if 'runsc' in runner.name:
                pids |= set(runsc_processes()) - before_others
            after = available_kib()
            pss.add(runner.name, pss_kib(pids) / count)
            available.add(runner.name, (before - after) / count)
            for pid in pids - {process.pid for process in started}:
                try:
                    os.kill(pid, 9)
                except ProcessLookupError:
                    pass
            for process in started:
                process.kill()
                process.wait()
            time.sleep(0.5)
    results += [pss, available]


def io(settings, runners, results):
    """Bytes through stdin and stdout, and from a file of the system."""
    cases = [('64 MiB from stdin to stdout', 'head -c 67108864 /dev/zero |', ['/bin/cat'], 64),
             ('sha256sum of 64 MiB on stdin', 'head -c 67108864 /dev/zero |', ['/usr/bin/sha256sum'], 64)]
    for title, feed, argv, mebibytes in cases:
        samples = Samples(title, 'MiB/s', lower_is_better=False)
        for _ in range(settings.rounds):
            for runner in runners:
                command = ['/bin/bash', '-o', 'pipefail', '-c', f'{feed} "$@" | cat > /dev/null', 'bash', *runner.command(argv)]
                begin = time.perf_counter()
                done = subprocess.run(command, input=b'', stdout=SINK, stderr=SINK, env=ENVIRONMENT, cwd='/')
                took = time.perf_counter() - begin
                if done.returncode == 0:
                    samples.add(runner.name, mebibytes / took)
        results.append(samples)


def calls(settings, runners, results):
    """What bench/micro measures inside: nanoseconds for single operations."""
    micro = os.path.join(settings.guest_dir, '..', 'bench', 'micro')
    micro = os.path.realpath(micro)
    if not os.access(micro, os.X_OK):
        print(f'bench: {micro}: not built, left out', file=sys.stderr)
        return
    by_name = {}
    for _ in range(settings.rounds):
        for runner in runners:
            took, out = timed(runner.command([micro]))
            if took is None:
                continue
            for line in out.decode().splitlines():
                name, _, value = line.rpartition(' ')
                by_name.setdefault(name, Samples(name, 'ns')).add(runner.name, float(value))
    results += by_name.values()


def compute(settings, runners, results):
    """Throughput of code that makes no system calls: each program times itself."""
    python = ('import time\nb=time.perf_counter()\nx=0\nfor i in range(3000000): x+=i*i\nprint(3/(time.perf_counter()-b))')
    loop = os.path.realpath(os.path.join(settings.guest_dir, '..', 'bench', 'micro'))
    cases = [('sha256 by openssl speed', 'MB/s', ['/usr/bin/openssl', 'speed', '-seconds', '1', '-bytes', '16384', 'sha256'],
              r'^sha256 +([\d.]+)k'),
             ('loop in C', 'rounds/µs', [loop, 'compute'], r'^compute (\S+)'),
             ('loop in python3', 'rounds/µs', ['/usr/bin/python3', '-c', python], r'^(\S+)')]
    for title, unit, argv, pattern in cases:
        if not os.access(argv[0], os.X_OK):
            continue
        samples = Samples(title, unit, lower_is_better=False)
        for _ in range(settings.rounds):
            for runner in runners:
                took, out = timed(runner.command(argv))
                match = took is not None and re.search(pattern, out.decode(), re.M)
                if match:
                    samples.add(runner.name, float(match[1]) / (1000 if 'MB' in unit else 1))
        results.append(samples)


def phases(settings, runners):
    """Where vmm's time goes, by --report: the median of each number."""
    collected = {}
    vmm = next((runner for runner in runners if isinstance(runner, Vmm)), None)
    if not vmm:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        path = folder + '/report.json'
        for _ in range(max(5, settings.rounds)):
            if timed(vmm.command(['/bin/true'], '--report', path))[0] is None:
                continue
            with open(path) as file:
                report = json.load(file)
            for key, value in report.get('phases_us', {}).items():
                collected.setdefault(key, []).append(value)
    return {key: statistics.median(values) for key, values in collected.items()}


# --- output --------------------------------------------------------------------------------------


def number(value):
    return f'{value:.0f}' if abs(value) >= 100 else f'{value:.1f}' if abs(value) >= 10 else f'{value:.2f}'


def table(results, phase_times):
    lines = []
    names = []
    for samples in results:
        names += [name for name in samples.values if name not in names]
    lines.append('| | ' + ' | '.join(names) + ' | goal |')
    lines.append('|---|' + '---|' * (len(names) + 1))
    for samples in results:
        summary = samples.summary()
        cells = []
        for name in names:
            if name not in summary:
                cells.append('–')
                continue
            s = summary[name]
            text = f'{number(s["median"])} ({number(s["q1"])}–{number(s["q3"])})'
            if s['ratio_to_native'] is not None and name != 'native':
                text += f' {s["ratio_to_native"]:.3g}×'
            cells.append(text)
        goal = samples.goal()
        cells.append('' if not goal else goal[0] + (' met' if goal[1] else ' **missed**'))
        lines.append(f'| {samples.title}, {samples.unit} | ' + ' | '.join(cells) + ' |')
    if phase_times:
        lines += ['', 'vmm, /bin/true, microseconds from the start to the end of each phase: '
                  + ', '.join(f'{name} {value:.0f}' for name, value in phase_times.items())]
    return '\n'.join(lines) + '\n'


def plot(results, out):
    """Ratios of time to native on a logarithmic scale, one bar for each case and runner, the goals as points. Needs gnuplot."""
    if not shutil.which('gnuplot'):
        return
    names = []
    for samples in results:
        names += [name for name in samples.values if name not in names and name != 'native']
    rows = []
    for samples in results:
        summary = samples.summary()
        ratios = [summary[name]['ratio_to_native'] if name in summary else None for name in names]
        if not any(ratios):
            continue
        ratios = [1 / ratio if ratio and not samples.lower else ratio for ratio in ratios]
        goal = GOALS.get(samples.title, (None, None))
        goal = goal[0] if goal[0] and not goal[1] else None
        goal = 1 / goal if goal and not samples.lower else goal
        rows.append('\t'.join([samples.title] + [f'{value:.4g}' if value else '?' for value in ratios + [goal]]))
    data = os.path.join(out, 'bench.dat')
    with open(data, 'w') as file:
        file.write('\n'.join(rows) + '\n')
    bars = ', '.join(f'"{data}" using {index + 2}:xtic(1) title "{name}"' for index, name in enumerate(names))
    script = f"""set terminal svg size 1300,700 background "white"; set output "{out}/bench.svg"
set datafile separator "\t"; set datafile missing "?"; set logscale y; set grid y; set key top left
set ylabel "time, native = 1"; set style data histograms; set style fill solid 0.8; set xtics rotate by -40 right font ",10"
set bmargin 12; set boxwidth 0.9; set style histogram clustered gap 1
plot {bars}, "{data}" using 0:{len(names) + 2} with points pointtype 7 title "goal of vmm", 1 with lines title "native"
"""
    subprocess.run(['gnuplot'], input=script.encode(), stderr=subprocess.PIPE)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('groups', nargs='*', metavar='GROUP')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--sandboxes', type=int, default=20)
    parser.add_argument('--mebibytes', type=int, default=1024, help='size of the large file of the group files')
    parser.add_argument('--vmm', default=os.path.join(TOP, 'build/vmm'))
    parser.add_argument('--guest-dir', default=os.path.join(TOP, 'build/guest-tests'))
    parser.add_argument('--out', default=os.path.join(TOP, 'build/bench'))
    settings = parser.parse_args()
    settings.vmm, settings.guest_dir = os.path.realpath(settings.vmm), os.path.realpath(settings.guest_dir)
    groups = {'start': start_to_exit, 'memory': idle_memory, 'io': io, 'calls': calls, 'compute': compute,
              'files': lambda *args: files.measure(*args, Samples),
              'disks': lambda *args: disks.measure(*args, Samples),
              'net': lambda *args: net.measure(*args, Samples),
              'tap': lambda *args: tap.measure(*args, Samples)}
    for group in settings.groups:
        if group not in groups:
            parser.error(f'{group}: no such group')

    runners = find_runners(settings)
    results = []
    try:
        for name, measure in groups.items():
            if not settings.groups or name in settings.groups:
                print(f'bench: {name} …', file=sys.stderr, flush=True)
                measure(settings, runners, results)
        phase_times = phases(settings, runners)
    finally:
        for runner in runners:
            runner.close()
    with open('/proc/cpuinfo') as file:
        cpuinfo = file.read()
    flags = re.search(r'^flags.*', cpuinfo, re.M)[0].split()
    machine = {'kernel': platform.release(), 'cpus': os.cpu_count(),
               'cpu': re.search(r'model name\s*: (.*)', cpuinfo)[1],
               'kvm': 'hardware' if {'vmx', 'svm'} & set(flags) else 'software',
               'load': os.getloadavg()[0]}
    os.makedirs(settings.out, exist_ok=True)
    with open(os.path.join(settings.out, 'bench.json'), 'w') as file:
        json.dump({'machine': machine, 'rounds': settings.rounds, 'phases_us': phase_times,
                   'results': [{'title': s.title, 'unit': s.unit, 'lower_is_better': s.lower, 'goal': s.goal(), 'runners': s.summary()}
                               for s in results]}, file, indent=1)
    text = (f'{machine["cpu"]}, {machine["cpus"]} CPUs, {machine["kvm"]} KVM, Linux {machine["kernel"]}, '
            f'load {machine["load"]:.1f}; median (quartiles) of {settings.rounds} rounds\n\n' + table(results, phase_times))
    with open(os.path.join(settings.out, 'bench.txt'), 'w') as file:
        file.write(text)
    print(text, end='')
    plot(results, settings.out)


if __name__ == '__main__':
    main()
