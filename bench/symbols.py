#!/usr/bin/python3
"""Put symbols into a profile: bench/symbols.py [--root DIR] PROFILE > OUT

vmm --profile names files and offsets in them, because nothing in the sandbox's jail may open them afterwards. This looks the
files up below DIR (default: /) with nm and readelf, and writes the same text with symbols, for flame graphs.
"""

import argparse
import bisect
import os
import re
import subprocess

FRAME = re.compile(r'^(\t *[0-9a-f]+) \+0x([0-9a-f]+) \((/.*)\)$')


def lines_of(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout.splitlines()


class File:
    def __init__(self, path):
        self.segments = []
        for line in lines_of('readelf', '-lW', path):
            words = line.split()
            if words[:1] == ['LOAD']:
                self.segments.append((int(words[1], 16), int(words[2], 16), int(words[4], 16)))
        symbols = {}
        for dynamic in ([], ['-D']):
            for line in lines_of('nm', '--defined-only', *dynamic, path):
                address, kind, name = line.split(' ', 2)
                if kind in 'tTwWiu':
                    symbols.setdefault(int(address, 16), name.split('@')[0])
        self.addresses = sorted(symbols)
        self.names = [symbols[address] for address in self.addresses]

    def symbol(self, offset):
        for file_offset, address, size in self.segments:
            if file_offset <= offset < file_offset + size:
                at = offset - file_offset + address
                index = bisect.bisect_right(self.addresses, at) - 1
                if index >= 0:
                    return f'{self.names[index]}+0x{at - self.addresses[index]:x}'
        return f'+0x{offset:x}'


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--root', default='/')
    parser.add_argument('profile')
    settings = parser.parse_args()
    files = {}
    with open(settings.profile) as profile:
        for line in profile:
            match = FRAME.match(line.rstrip('\n'))
            if match:
                address, offset, path = match.groups()
                if path not in files:
                    files[path] = File(os.path.join(settings.root, path.lstrip('/')))
                line = f'{address} {files[path].symbol(int(offset, 16))} ({path})\n'
            print(line, end='')


if __name__ == '__main__':
    main()
