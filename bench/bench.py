#!/usr/bin/python3
"""What vmm costs, beside native and, where installed, Debian's runsc and crun. No pass or fail.

    bench/bench.py --vmm build/vmm --guest-dir build/guest-tests --out build/bench [--rounds N] [--case NAME]

Every case runs in all ways one after the other, round by round, so that what else the machine does hits all of them alike.
Writes results.json and table.txt; medians with the smallest and largest value, and the ratio to native.
"""
import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

TRUE = '/bin/true'


def runsc_ways():
    """Rootless runsc needs nothing but itself; --network=none as our sandbox has none either."""
    path = shutil.which('runsc')
    if not path:
        return []
    flags = ['--network=none', '--ignore-cgroups']
    if os.getuid() != 0:
        flags.append('--rootless')
    return [('runsc', [path, *flags, 'do'])]


class Crun:
    """crun wants a bundle: a root with the host's /usr and the program's folder, bound read-only, and one process."""

    def __init__(self):
        self.path = shutil.which('crun')
        self.bundle = tempfile.mkdtemp(prefix='vmm-bench-')
        self.number = 0
        root = self.bundle + '/root'
        for folder in ('usr', 'proc', 'dev', 'sys', 'etc', 'tmp'):
            os.makedirs(f'{root}/{folder}')
        for link in ('bin', 'sbin', 'lib', 'lib64'):
            if os.path.islink('/' + link):
                os.symlink(os.readlink('/' + link), f'{root}/{link}')

    def command(self, argv):
        self.number += 1
        binds = {'/usr', os.path.dirname(os.path.realpath(argv[0]))}
        config = {
            'ociVersion': '1.0.0', 'root': {'path': 'root', 'readonly': False},
            'process': {'terminal': False, 'user': {'uid': 0, 'gid': 0}, 'args': argv, 'cwd': '/', 'noNewPrivileges': True,
                        'env': ['PATH=/usr/bin:/bin']},
            'mounts': [{'destination': '/proc', 'type': 'proc', 'source': 'proc'}] +
                      [{'destination': b, 'type': 'bind', 'source': b, 'options': ['rbind', 'ro']} for b in sorted(binds)],
            'linux': {'namespaces': [{'type': t} for t in ('pid', 'mount', 'ipc', 'uts', 'network')]},
        }
        with open(self.bundle + '/config.json', 'w') as file:
            json.dump(config, file)
        return [self.path, '--cgroup-manager=disabled', 'run', '--bundle', self.bundle,
                f'vmm-bench-{os.getpid()}-{self.number}']

    def close(self):
        shutil.rmtree(self.bundle, ignore_errors=True)


def timed(argv):
    begin = time.monotonic()
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    seconds = time.monotonic() - begin
    if done.returncode:
        raise RuntimeError(f'{argv[0]}: status {done.returncode}: {done.stderr.decode(errors="replace").strip()[-200:]}')
    return seconds * 1e3


def summary(values):
    return {'median': statistics.median(values), 'min': min(values), 'max': max(values), 'rounds': len(values)}


def start_case(name, argv, settings):
    """Milliseconds from start to exit."""
    ways = {'native': lambda: argv, 'vmm': lambda: [settings.vmm, '--app', argv[0], '--', *argv[1:]]}
    for way, prefix in runsc_ways():
        ways[way] = lambda prefix=prefix: [*prefix, *argv]
    crun = Crun()
    if crun.path:
        ways['crun'] = lambda: crun.command(argv)
    values = {way: [] for way in ways}
    errors = {}
    try:
        for number in range(settings.rounds + 1):
            for way in ways:
                if way in errors:
                    continue
                try:
                    value = timed(ways[way]())
                except (RuntimeError, OSError) as error:
                    errors[way] = str(error)
                    continue
                if number:  # the first round warms the caches
                    values[way].append(value)
    finally:
        crun.close()
    return {'case': name, 'unit': 'ms', 'ways': {w: summary(v) for w, v in values.items() if v}, 'errors': errors}


def meminfo_available():
    with open('/proc/meminfo') as file:
        return int(re.search(r'MemAvailable:\s+(\d+)', file.read()).group(1))


def tree(pid):
    """pid and all below it."""
    found = [pid]
    for task in os.listdir(f'/proc/{pid}/task'):
        with open(f'/proc/{pid}/task/{task}/children') as file:
            for child in file.read().split():
                found += tree(int(child))
    return found


def pss_kib(pid):
    with open(f'/proc/{pid}/smaps_rollup') as file:
        return int(re.search(r'^Pss:\s+(\d+)', file.read(), re.M).group(1))


def memory_round(argv, count=20):
    """KiB for each of count idle sandboxes: PSS of their processes, and what the host has less of."""
    before = meminfo_available()
    running = [subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) for _ in range(count)]
    try:
        time.sleep(2)
        available = before - meminfo_available()
        pss = sum(pss_kib(pid) for process in running for pid in tree(process.pid))
    finally:
        for process in running:
            process.kill()
        for process in running:
            process.wait()
    time.sleep(1)
    return pss / count, available / count


def memory_case(settings):
    argv = ['/bin/sleep', '60']
    ways = {'native': argv, 'vmm': [settings.vmm, *argv]}
    pss, available = {w: [] for w in ways}, {w: [] for w in ways}
    for _ in range(settings.rounds):
        for way in ways:
            a, b = memory_round(ways[way])
            pss[way].append(a)
            available[way].append(b)
    return [{'case': 'memory: PSS of an idle sandbox', 'unit': 'KiB', 'ways': {w: summary(v) for w, v in pss.items()}, 'errors': {}},
            {'case': 'memory: MemAvailable for each of 20', 'unit': 'KiB', 'ways': {w: summary(v) for w, v in available.items()},
             'errors': {}}]


def phases_case(settings):
    """Where the start goes: --report's phases, microseconds since the start of vmm."""
    seen = {}
    for _ in range(settings.rounds):
        with tempfile.NamedTemporaryFile() as file:
            subprocess.run([settings.vmm, '--report', file.name, TRUE], check=True)
            with open(file.name) as report:
                data = json.load(report)
        for phase, value in data['phases_us'].items():
            seen.setdefault(phase, []).append(value)
        seen.setdefault('end', []).append(data['wall_s'] * 1e6)
    return [{'case': f'start: until {phase}', 'unit': 'us', 'ways': {'vmm': summary(values)}, 'errors': {}}
            for phase, values in seen.items()]


def table(results):
    lines = [f'{"case":40} {"way":8} {"median":>10} {"min":>10} {"max":>10} {"x native":>9}  unit']
    for result in results:
        native = result['ways'].get('native', {}).get('median')
        for way, s in result['ways'].items():
            ratio = f'{s["median"] / native:9.2f}' if native and native > 0 else f'{"":9}'
            lines.append(f'{result["case"]:40} {way:8} {s["median"]:10.2f} {s["min"]:10.2f} {s["max"]:10.2f} {ratio}  '
                         f'{result["unit"]}')
        for way, error in result['errors'].items():
            lines.append(f'{result["case"]:40} {way:8} {error}')
    return '\n'.join(lines) + '\n'


def enter_private_mounts():
    """crun refuses a host with both versions of cgroups: show it only the second, in a mount namespace of our own."""
    if os.getuid() != 0 or not shutil.which('crun') or os.environ.get('VMM_BENCH_MOUNTS'):
        return
    script = ('umount -l /sys/fs/cgroup/* 2>/dev/null; umount -l /sys/fs/cgroup 2>/dev/null; '
              'mount -t cgroup2 none /sys/fs/cgroup 2>/dev/null; exec "$@"')
    os.environ['VMM_BENCH_MOUNTS'] = '1'
    os.execvp('unshare', ['unshare', '-m', 'sh', '-c', script, 'sh', sys.executable, *sys.argv])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--vmm', default='build/vmm')
    parser.add_argument('--guest-dir', default='build/guest-tests')
    parser.add_argument('--out', default='build/bench')
    parser.add_argument('--rounds', type=int, default=7)
    parser.add_argument('--case', default='', help='start, memory or phases; default: all')
    settings = parser.parse_args()
    enter_private_mounts()
    results = []
    if settings.case in ('', 'start'):
        results.append(start_case('start to exit of /bin/true', [TRUE], settings))
        results.append(start_case('start to exit of a static hello', [os.path.abspath(settings.guest_dir + '/hello-static')],
                                  settings))
    if settings.case in ('', 'phases'):
        results += phases_case(settings)
    if settings.case in ('', 'memory'):
        results += memory_case(settings)
    os.makedirs(settings.out, exist_ok=True)
    with open(settings.out + '/results.json', 'w') as file:
        json.dump(results, file, indent=1)
    text = table(results)
    with open(settings.out + '/table.txt', 'w') as file:
        file.write(text)
    sys.stdout.write(text)


if __name__ == '__main__':
    main()
