"""The group `disks` of bench.py: fio on /dev/vda against fio on the image itself, which the host has in its page cache."""

import os
import subprocess
import tempfile

SIZE = 256 << 20
# title, fio's pattern, block size, bytes moved, the field of fio's terse version 3 that counts, its unit
CASES = [('read 4 KiB at random', 'randread', '4k', '64M', 39, 'us'),
         ('write 4 KiB at random', 'randwrite', '4k', '64M', 80, 'us'),
         ('read 128 KiB in order', 'read', '128k', '1G', 6, 'MB/s'),
         ('write 128 KiB in order', 'write', '128k', '512M', 47, 'MB/s'),
         ('read 1 MiB in order', 'read', '1M', '1G', 6, 'MB/s')]


def fio(path, pattern, block, moved, direct):
    return ['/usr/bin/fio', '--name=b', f'--filename={path}', f'--rw={pattern}', f'--bs={block}', f'--size={SIZE}',
            f'--io_size={moved}', '--ioengine=psync', f'--direct={direct}', '--invalidate=0', '--thread', '--minimal']


def value(argv, field, unit):
    done = subprocess.run(argv, capture_output=True)
    fields = done.stdout.decode().split(';')
    if done.returncode != 0 or len(fields) <= field:
        return None
    return float(fields[field]) / (1000 if unit == 'MB/s' else 1)


def measure(settings, runners, results, samples_class):
    with tempfile.TemporaryDirectory(dir='/var/tmp', prefix='bench-disks-') as folder:
        image = os.path.join(folder, 'disk.img')
        with open(image, 'wb') as file:
            for _ in range(SIZE >> 20):
                file.write(os.urandom(1 << 20))
        for title, pattern, block, moved, field, unit in CASES:
            samples = samples_class(title, unit, lower_is_better=unit == 'us')
            for _ in range(settings.rounds):
                for runner in runners:
                    if runner.name == 'native':
                        argv = fio(image, pattern, block, moved, 0)
                    elif runner.name == 'vmm':
                        argv = runner.command(fio('/dev/vda', pattern, block, moved, 1), '--disk', image)
                    else:
                        continue
                    got = value(argv, field, unit)
                    if got is not None:
                        samples.add(runner.name, got)
            results.append(samples)
