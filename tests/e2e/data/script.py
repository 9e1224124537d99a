#!/usr/bin/python3
"""Two hundred lines of ordinary Python: what a person's script uses, with output that never varies."""

import argparse
import base64
import bisect
import collections
import contextlib
import csv
import dataclasses
import datetime
import enum
import fractions
import functools
import glob
import hashlib
import heapq
import io
import itertools
import json
import math
import operator
import os
import pickle
import re
import statistics
import string
import struct
import sys
import tempfile
import textwrap
import typing
import unicodedata
import uuid
import zlib


class Colour(enum.Enum):
    RED = 1
    GREEN = 2
    BLUE = 3


@dataclasses.dataclass(order=True)
class Item:
    rank: int
    name: str = dataclasses.field(compare=False)
    tags: typing.List[str] = dataclasses.field(default_factory=list, compare=False)

    def label(self) -> str:
        return f'{self.name}#{self.rank}'


class Tree:
    """An unbalanced binary search tree, to have some recursion and allocation."""

    __slots__ = ('key', 'left', 'right')

    def __init__(self, key):
        self.key, self.left, self.right = key, None, None

    def insert(self, key):
        node = self
        while True:
            side = 'left' if key < node.key else 'right'
            child = getattr(node, side)
            if child is None:
                setattr(node, side, Tree(key))
                return
            node = child

    def __iter__(self):
        if self.left:
            yield from self.left
        yield self.key
        if self.right:
            yield from self.right

    def depth(self):
        return 1 + max(n.depth() if n else 0 for n in (self.left, self.right))


def words_of(text):
    return re.findall(r'[a-z]+', text.lower())


@functools.lru_cache(maxsize=None)
def ways(total, coins=(1, 2, 5, 10, 20, 50, 100, 200)):
    if total == 0:
        return 1
    if total < 0 or not coins:
        return 0
    return ways(total - coins[-1], coins) + ways(total, coins[:-1])


def sieve(limit):
    flags = bytearray([1]) * (limit + 1)
    flags[0:2] = b'\0\0'
    for n in range(2, math.isqrt(limit) + 1):
        if flags[n]:
            flags[n * n::n] = bytes(len(range(n * n, limit + 1, n)))
    return [n for n, prime in enumerate(flags) if prime]


def lcg(seed):
    while True:
        seed = (seed * 6364136223846793005 + 1442695040888963407) % 2 ** 64
        yield seed >> 33


def matrix_power(matrix, power):
    def times(a, b):
        return [[sum(map(operator.mul, row, column)) for column in zip(*b)] for row in a]
    result = [[int(i == j) for j in range(len(matrix))] for i in range(len(matrix))]
    while power:
        if power & 1:
            result = times(result, matrix)
        matrix = times(matrix, matrix)
        power >>= 1
    return result


@contextlib.contextmanager
def noted(title, notes):
    notes.append('begin ' + title)
    try:
        yield
    except ZeroDivisionError as error:
        notes.append(f'caught {error}')
    finally:
        notes.append('end ' + title)


def text_part(text):
    counts = collections.Counter(words_of(text))
    for word, n in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:8]:
        print(f'{word:>8} {n:4d} {"*" * n}')
    print(textwrap.fill(' '.join(words_of(text)[:60]), width=60, initial_indent='  '))
    print(hashlib.sha256(text.encode()).hexdigest(), zlib.crc32(text.encode()))
    print(base64.b64encode(zlib.compress(text.encode(), 9)).decode()[:40])
    print(unicodedata.name('é'), 'ﬁ'.casefold(), unicodedata.normalize('NFKD', 'é').encode())


def number_part():
    primes = sieve(20000)
    print(len(primes), primes[-3:], bisect.bisect(primes, 1000))
    print(ways(200), math.factorial(60), math.comb(100, 50))
    print(sum(fractions.Fraction(1, n) for n in range(1, 30)))
    print(matrix_power([[1, 1], [1, 0]], 300)[0][1])
    numbers = list(itertools.islice(lcg(42), 1000))
    print(statistics.median(numbers), round(statistics.pstdev(numbers), 3), heapq.nsmallest(3, numbers))
    print(' '.join(f'{math.sin(x / 7):.12f}' for x in range(6)), f'{math.e:.17g}', 0.1 + 0.2, 1e300 * 1e10)
    tree = Tree(numbers[0])
    for n in numbers[1:]:
        tree.insert(n)
    print(list(tree) == sorted(numbers), tree.depth())


def data_part():
    items = [Item(rank, name, [name[0], Colour(rank % 3 + 1).name]) for rank, name in
             zip((3, 1, 2), ('pear', 'apple', 'fig'))]
    print([item.label() for item in sorted(items)], dataclasses.asdict(items[0]))
    copy = pickle.loads(pickle.dumps(items, protocol=4))
    print(copy == items, json.dumps([dataclasses.asdict(item) for item in copy], sort_keys=True))
    sheet = io.StringIO()
    csv.writer(sheet).writerows([['a', 'b, c', 'd "e"'], [1, 2.5, None]])
    print(repr(sheet.getvalue()), list(csv.reader(io.StringIO(sheet.getvalue()))))
    print(struct.pack('<HIq4s', 1, 2, -3, b'wxyz').hex(), uuid.uuid5(uuid.NAMESPACE_DNS, 'example.org'))
    moment = datetime.datetime(2024, 2, 28, 23, 59, tzinfo=datetime.timezone.utc)
    print((moment + datetime.timedelta(minutes=1)).isoformat(), moment.strftime('%A %j'))
    groups = itertools.groupby(sorted(string.ascii_lowercase, key=lambda c: ord(c) % 5), key=lambda c: ord(c) % 5)
    print({key: ''.join(letters) for key, letters in groups})


def file_part():
    with tempfile.TemporaryDirectory() as folder:
        for n in range(20):
            with open(os.path.join(folder, f'file{n:02d}.txt'), 'w', encoding='utf-8') as file:
                file.write('ü' * n + '\n')
        found = sorted(glob.glob(folder + '/*1*.txt'))
        print(len(found), [os.path.getsize(path) for path in found])
        big = os.path.join(folder, 'big')
        with open(big, 'wb') as file:
            for n in range(1000):
                file.write(n.to_bytes(4, 'little') * 250)
        with open(big, 'rb') as file:
            file.seek(-1000, os.SEEK_END)
            print(file.tell(), hashlib.md5(file.read()).hexdigest())
    print(os.path.exists(folder))


def main():
    parser = argparse.ArgumentParser(prog='script')
    parser.add_argument('names', nargs='+')
    print(parser.parse_args())
    text_part(sys.stdin.read())
    number_part()
    data_part()
    file_part()
    notes = []
    with noted('division', notes):
        print(1 // 0)
    print(notes, file=sys.stderr)


if __name__ == '__main__':
    main()
