"""Packets: servers behind a tap (--nic tap), beside the same ones natively behind a veth pair. Clients are in the same network namespace."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import time

HOST, INSIDE = '10.77.0.1', '10.77.0.2'  # the tap's ends
VETH, NATIVE = '10.78.0.1', '10.78.0.2'  # the veth pair's
PORT = '8080'


def run(*command):
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


class Namespace:
    """A network namespace, which ends with its one process."""

    def __init__(self):
        self.holder = subprocess.Popen(['unshare', '-n', 'sh', '-c', 'echo; exec sleep 3600'], stdout=subprocess.PIPE)
        self.holder.stdout.readline()

    def enter(self, *command):
        return ['nsenter', '-t', str(self.holder.pid), '-n', *command]

    def end(self):
        self.holder.kill()
        self.holder.wait()


@contextlib.contextmanager
def namespaces():
    """The one of the clients, with the tap; and that of native servers."""
    clients, servers = Namespace(), Namespace()
    try:
        for command in ('ip tuntap add dev tap0 mode tap vnet_hdr', f'ip addr add {HOST}/24 dev tap0', 'ip link set tap0 up',
                        f'ip link add veth0 type veth peer name veth1 netns {servers.holder.pid}', f'ip addr add {VETH}/24 dev veth0',
                        'ip link set veth0 up', 'ip link set lo up'):
            run(*clients.enter(*command.split()))
        for command in f'ip addr add {NATIVE}/24 dev veth1', 'ip link set veth1 up', 'ip link set lo up':
            run(*servers.enter(*command.split()))
        yield clients, servers
    finally:
        clients.end()
        servers.end()


WAIT = 'import socket, sys, time\nfor i in range(400):\n try: socket.create_connection((sys.argv[1], int(sys.argv[2])), 1).close(); break\n' \
       ' except OSError: time.sleep(0.02)'


@contextlib.contextmanager
def serving(runner, spaces, argv):
    """The server by this runner; yields its address."""
    clients, servers = spaces
    if runner.name == 'native':
        address, command = NATIVE, servers.enter(*argv)
    else:
        address, command = INSIDE, clients.enter(*runner.command(argv, '--nic', f'tap=tap0,addr={INSIDE}/24'))
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        run(*clients.enter(sys.executable, '-c', WAIT, address, PORT))
        yield address
    finally:
        process.kill()
        process.wait()


def text_of(command):
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120).stdout.replace('\r', '\n')


def iperf(clients, address, add):
    for title, option in (('tap: iperf3 in', '-4'), ('tap: iperf3 out', '-R')):
        out = text_of(clients.enter('iperf3', '-c', address, '-p', PORT, '-t', '2', '-f', 'm', option))
        for value in re.findall(r'([\d.]+) Mbits/sec\s+receiver', out):
            add(title, 'MiB/s', float(value) / 8 * 1e6 / (1 << 20))


def redis(clients, address, add):
    for connections, pipeline, count in ((1, 1, 10000), (50, 1, 60000), (50, 16, 300000)):
        out = text_of(clients.enter('redis-benchmark', '-h', address, '-p', PORT, '-t', 'get,set', '-n', str(count), '-c', str(connections),
                                    '-P', str(pipeline), '-q'))
        for name, value in re.findall(r'(GET|SET): ([\d.]+) requests per second', out):
            add(f'tap: redis {name}, {connections} clients, pipeline {pipeline}', 'kreq/s', float(value) / 1000)


def ping(clients, address, add):
    for value in re.findall(r'= [\d.]+/([\d.]+)/', text_of(clients.enter('ping', '-q', '-c', '200', '-i', '0.005', address))):
        add('tap: ping, mean', 'us', float(value) * 1000)


def measure(settings, runners, results, Samples):
    by_title = {}
    if os.geteuid() or not os.path.exists('/dev/net/tun'):
        print('bench: tap: left out, it needs root and /dev/net/tun', file=sys.stderr)
        return
    servers = [(['iperf3', '-s', '-p', PORT], (iperf, ping)),
               (['redis-server', '--port', PORT, '--bind', '0.0.0.0', '--save', '', '--protected-mode', 'no'], (redis,))]
    with namespaces() as spaces:
        for argv, loads in servers:
            if not shutil.which(argv[0]):
                continue
            for _ in range(settings.rounds):
                for runner in (r for r in runners if r.name in ('native', 'vmm')):
                    def add(title, unit, value, runner=runner):
                        by_title.setdefault(title, Samples(title, unit, lower_is_better=unit == 'us')).add(runner.name, value)
                    with serving(runner, spaces, argv) as address:
                        for load in loads:
                            load(spaces[0], address, add)
                        time.sleep(0.1)
    results += by_title.values()
