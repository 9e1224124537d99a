"""The group `files` of bench.py: bench/files.c and real programs on every kind of file system, in turn in the same run."""

import os
import re
import shutil
import subprocess
import tempfile
import time

SQLITE = ('pragma synchronous={}; create table if not exists t (n integer primary key, s text); '
          + ' '.join(f"insert into t (s) values ('row {n}');" for n in range(300)))


def places(runner, top):
    """[(label, options of vmm, directory as the program sees it)] for a runner."""
    if runner.name == 'native':
        return [('native', [], top + '/native'), ('native tmpfs', [], top + '/tmpfs')]
    if runner.name == 'vmm':
        return [('vmm bind, exclusive', ['--bind', f'{top}/vmm:/data:rw,cache=exclusive'], '/data'),
                ('vmm bind, shared', ['--bind', f'{top}/vmm:/data:rw,cache=shared'], '/data'),
                ('vmm tmpfs', ['--mem', '4G'], '/tmp'),
                ('vmm overlay', ['--mem', '4G'], '/usr')]
    if runner.name.startswith('runsc'):
        return [(runner.name, [], top + '/native')]
    return []


def command(runner, options, argv):
    return runner.command(argv, *options) if runner.name == 'vmm' else runner.command(argv)


def empty(folder):
    """The folder itself may be a mount."""
    for entry in os.scandir(folder):
        shutil.rmtree(entry.path) if entry.is_dir(follow_symlinks=False) else os.unlink(entry.path)


def operations(settings, runners, top, add):
    program = os.path.realpath(os.path.join(settings.guest_dir, '..', 'bench', 'files'))
    for runner in runners:
        for label, options, place in places(runner, top):
            done = subprocess.run(command(runner, options, [program, place, str(settings.mebibytes)]), capture_output=True)
            for line in done.stdout.decode().splitlines():
                name, value, unit = re.fullmatch(r'(.*) ([\d.]+) (\S+)', line).groups()
                add(name, unit, label, float(value))
            for name in ('native', 'tmpfs', 'vmm'):
                empty(f'{top}/{name}')


def make_tree(top):
    """50,000 files, and a repository of 2,000."""
    for n in range(500):
        os.makedirs(f'{top}/tree/d{n}')
        for m in range(100):
            open(f'{top}/tree/d{n}/f{m}', 'w').close()
    for n in range(40):
        os.makedirs(f'{top}/repo/d{n}')
        for m in range(50):
            with open(f'{top}/repo/d{n}/f{m}', 'w') as file:
                file.write(str(m))
    for words in (['init', '-q'], ['add', '-A'], ['-c', 'user.name=a', '-c', 'user.email=a@b', 'commit', '-q', '-m', 'x']):
        subprocess.run(['git', '-C', top + '/repo', *words], check=True)
    with open(top + '/program.c', 'w') as file:
        file.write('#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\nint main(void) { return puts("x") < 0; }\n')


def programs(settings, runners, top, add):
    """Whole programs, in milliseconds, the start of the sandbox included; the tree is mounted at the place that it has outside."""
    make_tree(top)
    safe = ['-c', 'safe.directory=*']
    cases = [('find over 50,000 files', ['/usr/bin/find', top + '/tree', '-name', 'none']),
             ('find over 50,000 files, with stat', ['/usr/bin/find', top + '/tree', '-size', '+1']),
             ('git status of 2,000 files', ['/usr/bin/git', *safe, '-C', top + '/repo', 'status', '--short']),
             ('python3 -c "import json, email, http.client"', ['/usr/bin/python3', '-c', 'import json, email, http.client']),
             ('gcc -O2 of a small program', ['/usr/bin/gcc', '-O2', '-o', top + '/program', top + '/program.c'])]
    for mode in ('full', 'off'):
        cases.append((f'sqlite3, 300 inserts, synchronous={mode}', ['/usr/bin/sqlite3', top + '/db', SQLITE.format(mode)]))
    for title, argv in cases:
        if not os.access(argv[0], os.X_OK):
            continue
        for number in range(settings.rounds + 1):
            for runner in runners:
                if runner.name not in ('native', 'vmm') and not runner.name.startswith('runsc'):
                    continue
                if os.path.exists(top + '/db'):
                    os.unlink(top + '/db')
                begin = time.perf_counter()
                done = subprocess.run(command(runner, ['--bind', f'{top}:{top}:rw,cache=exclusive'], argv), stdin=subprocess.DEVNULL,
                                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                if done.returncode == 0 and number > 0:  # the first round warms the caches
                    add(title, 'ms', runner.name, (time.perf_counter() - begin) * 1000)


def measure(settings, runners, results, new_samples):
    by_name = {}

    def add(name, unit, label, value):
        if name not in by_name:
            by_name[name] = new_samples(name, unit, unit != 'MiB/s')
            results.append(by_name[name])
        by_name[name].add(label, value)

    with tempfile.TemporaryDirectory(dir='/var/tmp', prefix='bench-files-') as top:
        for name in ('native', 'vmm', 'tmpfs'):
            os.mkdir(f'{top}/{name}')
        mounted = os.getuid() == 0 and subprocess.run(['mount', '-t', 'tmpfs', 'none', top + '/tmpfs']).returncode == 0
        try:
            for _ in range(settings.rounds):
                operations(settings, runners, top, add)
        finally:
            if mounted:
                subprocess.run(['umount', top + '/tmpfs'])
        programs(settings, runners, top, add)
