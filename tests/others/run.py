#!/usr/bin/python3
"""Run what others wrote, natively and in the VM, and count where the VM differs.

    tests/others/run.py cpython [MODULE...]       CPython's own tests (Debian: libpython3.11-testsuite)
    tests/others/run.py stress-ng [STRESSOR...]   stress-ng's stressors with --verify, one at a time
    tests/others/run.py selftests [PROGRAM...]    the kernel's own selftests (Debian: linux-source-6.1)

What passes natively has to pass in the VM. Prints a line for each module or stressor, below it the tests
that passed natively only, and at the end the counts. Logs: build/others. Exit status: 0 if the VM lost nothing.
"""

import argparse
import os
import re
import signal
import subprocess
import sys

import selftests

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
PYTHON = '/usr/bin/python3.11'
MODULES = ('test_os test_posix test_signal test_threading test_mmap test_select test_epoll test_fork1 test_tempfile '
           'test_shutil test_subprocess test_time test_fcntl test_resource test_mailbox test_pathlib test_io').split()
# Stressors that test the machine or its kernel rather than system calls, or that administer it.
UNSUITABLE = set('apparmor cpu-online dev-shm sysinval quota ramfs swap zlib'.split())
RESULT = re.compile(r'^(test\w*) \(([\w.]+)\)(?: ?\.\.\. ?|\n.*?\.\.\. ?)', re.M)
STATES = re.compile(r'(ok|FAIL|ERROR|skipped|expected failure|unexpected success)\b')


def run(command, log, seconds, cwd=None):
    """Exit status (None: it took too long) and what it wrote."""
    with open(log, 'wb') as out:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                                 start_new_session=True, cwd=cwd)
        try:
            status = child.wait(seconds)
        except subprocess.TimeoutExpired:
            status = None
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        child.wait()
    with open(log, errors='replace') as text:
        return status, text.read()


def both(name, command, options):
    """The same natively and in the VM."""
    for where, prefix in (('native', []), ('vm', [options.vmm, '--mem', options.mem])):
        yield run(prefix + command, os.path.join(options.logs, name + '.' + where), options.seconds)


def results(text):
    """{test: state} of a verbose unittest run."""
    found = {}
    places = list(RESULT.finditer(text))
    for place, following in zip(places, places[1:] + [None]):
        state = STATES.search(text, place.end(), following.start() if following else len(text))
        found[place.group(2).removeprefix('test.')] = state.group(1) if state else 'unfinished'
    return found


def cpython(options):
    total = passed = lost = 0
    for module in options.names or MODULES:
        command = [PYTHON, '-m', 'test', '-v', '-u', 'none', module]
        (_, native_text), (status, vm_text) = both(module, command, options)
        native, vm = results(native_text), results(vm_text)
        good = [test for test, state in native.items() if state == 'ok']
        missing = [test for test in good if vm.get(test) != 'ok']
        total += len(good)
        passed += len(good) - len(missing)
        lost += len(missing)
        print(f'{module}: {len(good)} pass natively, {len(good) - len(missing)} of them in the VM'
              + ('; it took too long' if status is None else ''), flush=True)
        for test in missing:
            print(f'    {test}: {vm.get(test, "not run")}', flush=True)
    print(f'cpython: {total} tests pass natively, {passed} of them in the VM, {lost} don\'t')
    return lost


def stressors():
    return [name for name in subprocess.run(['stress-ng', '--stressors'], capture_output=True, text=True,
                                            check=True).stdout.split() if name not in UNSUITABLE]


def stress_ng(options):
    counts = {'pass': 0, 'lost': 0, 'native': 0}
    for name in options.names or stressors():
        command = ['stress-ng', '--' + name, '1', '--timeout', options.time, '--verify', '--temp-path', '/tmp']
        (native, _), (vm, _) = both(name, command, options)
        kind = 'native' if native != 0 else 'pass' if vm == 0 else 'lost'
        counts[kind] += 1
        if kind != 'pass':
            print(f'{name}: status {native} natively, {vm} in the VM', flush=True)
    print(f'stress-ng: {counts["pass"] + counts["lost"]} stressors pass natively, {counts["pass"]} of them in the VM, '
          f'{counts["lost"]} don\'t; {counts["native"]} don\'t pass natively')
    return counts['lost']


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('what', choices=('cpython', 'stress-ng', 'selftests'))
    parser.add_argument('names', nargs='*')
    parser.add_argument('--vmm', default=os.path.join(TOP, 'build/vmm'), type=os.path.abspath)
    parser.add_argument('--mem', default='2G')
    parser.add_argument('--logs', default=os.path.join(TOP, 'build/others'), type=os.path.abspath)
    parser.add_argument('--seconds', type=int, default=300, help='for one run')
    parser.add_argument('--time', default='1', help="stress-ng's --timeout")
    options = parser.parse_args()
    os.makedirs(options.logs, exist_ok=True)
    suites = {'cpython': cpython, 'stress-ng': stress_ng, 'selftests': lambda options: selftests.run_all(options, run)}
    sys.exit(suites[options.what](options) > 0)


if __name__ == '__main__':
    main()
