"""The kernel's own selftests, from Debian's linux-source-6.1: built natively, run natively and in the VM.

Only programs that test what a process sees: none that needs a file system, device, module or namespace of its own,
none that measures, and none that would change the clock or suspend the machine it runs on.
"""

import glob
import os
import re
import subprocess

SOURCE = '/usr/src/linux-source-6.1.tar.xz'
PACKAGES = ['linux-source-6.1', 'libcap-dev', 'libcap-ng-dev', 'xz-utils', 'gcc', 'make']
INSIDE = 'tools/testing/selftests'
FOLDERS = ('breakpoints capabilities clone3 core exec futex/functional ipc kcmp membarrier memfd mincore mqueue openat2 '
           'pidfd prctl proc ptrace rlimits rseq sched seccomp sigaltstack size splice syscall_user_dispatch timers '
           'tmpfs vDSO vm x86').split()
UNSUITABLE = set(
    # These change the clock, or suspend the machine.
    'adjtick alarmtimer-suspend change_skew clocksource-switch freq-step leap-a-day leapcrash set-2038 set-tai set-tz '
    'skew_consistency step_after_suspend_test valid-adjtimex rtcpie '
    # Measurements, and what takes as much time.
    'mq_perf_tests nsleep-lat set-timer-lat mqueue-lat seccomp_benchmark raw_skew transhuge-stress '
    # Huge pages set aside by the administrator, same-page merging, memory of devices: the machine's, not a process's.
    'compaction_test gup_test hmm-tests hugepage-mmap hugepage-mremap hugepage-shm hugepage-vmemmap hugetlb-madvise '
    'khugepaged ksm_tests map_hugetlb thuge-gen write_to_hugetlbfs split_huge_page_test migration '
    # Parts of others, which run them; what needs a FUSE mount or a namespace.
    'fuse_mnt fuse_test inheritable test_setns pidfd_setns_test bug-link-o-tmpfile load_address_4096 default_file_splice_read '
    .split())
TAP = re.compile(r'^(ok|not ok) (\d+)\b(.*)$', re.M)


def build(folder):
    """Unpack the source to folder and build what can be built; returns the folder of the selftests."""
    if not os.path.exists(SOURCE):
        subprocess.run(['apt-get', 'install', '-y', '--no-install-recommends'] + PACKAGES, check=True,
                       stdout=subprocess.DEVNULL)
    tests = os.path.join(folder, INSIDE)
    if not os.path.isdir(tests):
        os.makedirs(folder, exist_ok=True)
        subprocess.run(['tar', '-xJf', SOURCE, '-C', folder, '--strip-components=1'] +
                       ['linux-source-6.1/' + name for name in ('Makefile', 'scripts', 'tools', 'mm/gup_test.h', 'arch/x86/include')],
                       check=True)
    with open(os.path.join(folder, 'build.log'), 'w') as log:
        for name in FOLDERS:
            # Some of each folder needs what isn't there, or has a warning that is an error: the others are built all the same.
            subprocess.run(['make', '-k', '-C', os.path.join(tests, name)], stdout=log, stderr=log,
                           env=dict(os.environ, KCFLAGS=''))
    return tests


def is_program(path):
    if not (os.path.isfile(path) and os.access(path, os.X_OK)):
        return False
    with open(path, 'rb') as file:
        return file.read(4) == b'\x7fELF'


def programs(tests, names):
    """folder/name of each program that is to be run."""
    for folder in FOLDERS:
        for path in sorted(glob.glob(os.path.join(tests, folder, '*'))):
            name = os.path.basename(path)
            if is_program(path) and name not in UNSUITABLE and (not names or name in names):
                yield folder, name


def passed(status, text):
    """What of a run passed: {number: title} of its lines in TAP, or its exit status where it writes none."""
    lines = TAP.findall(text)
    if not lines:
        return {'status': 'exit status 0'} if status == 0 else {}
    return {number: title.strip() for state, number, title in lines if state == 'ok' and '# SKIP' not in title}


def run_all(options, run):
    """Compare every program; returns how many tests the VM lost. run(command, log, seconds, cwd) is run.py's."""
    tests = build(os.path.join(options.logs, 'linux-source'))
    total = lost = 0
    for folder, name in programs(tests, options.names):
        cwd = os.path.join(tests, folder)
        log = os.path.join(options.logs, 'selftests-%s-%s.' % (folder.replace('/', '-'), name))
        in_vm = [options.vmm, '--mem', options.mem, '--bind', f'{tests}:{tests}:rw', '--cwd', cwd, './' + name]
        native = passed(*run(['./' + name], log + 'native', options.seconds, cwd))
        status, text = run(in_vm, log + 'vm', options.seconds, cwd)
        vm = passed(status, text)
        missing = [number for number in native if number not in vm]
        total += len(native)
        lost += len(missing)
        if missing:
            print(f'{folder}/{name}: {len(native)} pass natively, {len(native) - len(missing)} of them in the VM; '
                  f'status {status}', flush=True)
            for number in missing[:20]:
                print(f'    {number} {native[number]}', flush=True)
    print(f'selftests: {total} tests pass natively, {total - lost} of them in the VM, {lost} don\'t')
    return lost
