"""Make small EROFS images of every kind and have mutate_erofs break each of them: mutate.py PROGRAM COUNT

Ends with a line that tests/check.sh adds up."""

import os
import random
import subprocess
import sys
import tempfile

KINDS = {
    'plain': ['-Eforce-inode-extended'],
    'chunks': ['--chunksize=4096'],
    'lz4': ['-zlz4hc'],
    'big': ['-zlz4', '-C65536'],
    'legacy': ['-zlz4', '-Elegacy-compress'],
}


def write(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'wb') as file:
        file.write(data)


def make_tree(root):
    rng = random.Random(7)
    for size in (1, 100, 4095, 4097, 12345):
        write(f'{root}/data/random-{size}', rng.randbytes(size))
    for size in (100, 5000, 30000):
        write(f'{root}/data/text-{size}', (b'the quick brown fox %d ' % size * (size // 20 + 1))[:size])
    write(f'{root}/data/mixed', bytes(9000) + rng.randbytes(5000) + b'ab' * 10000)
    for i in range(150):
        write(f'{root}/many/a-rather-long-file-name-{i}', b'%d' % i)
    os.symlink('x' * 300, f'{root}/data/link')
    try:
        os.setxattr(f'{root}/data/mixed', 'user.one', b'value')
        os.setxattr(f'{root}/data/mixed', 'user.two', bytes(50))
    except OSError:
        print('mutate: no user attributes here, left out')


def main():
    program, count = sys.argv[1:]
    failed = 0
    with tempfile.TemporaryDirectory(dir='/var/tmp') as path:
        make_tree(path + '/root')
        for kind, options in KINDS.items():
            image = f'{path}/{kind}.erofs'
            subprocess.run(['mkfs.erofs', '--quiet', '-T1', *options, image, path + '/root'], check=True, stdout=subprocess.DEVNULL)
            failed += subprocess.run([program, count, image]).returncode != 0
    print(f'{len(KINDS) - failed} passed, {failed} failed, 0 skipped')
    return failed > 0


sys.exit(main())
