#!/usr/bin/python3
"""Kick a sandbox at random times and see that nothing is lost.

    kick_storm.py [--signals N] [--seconds S] -- vmm … --app build/guest-tests/kicks

Appends SECONDS and SIGNALS to the command, waits for its line "ready", and sends SIGUSR1 and SIGWINCH to it
at random times. A SIGUSR1 may merge with one that is still pending (that is what Linux does), so the
kicker waits, most of the time, until the program has taken one before it sends the next: what then does
not arrive within five seconds is lost. The program checks its registers and memory all the while.
"""

import argparse
import os
import random
import re
import select
import signal
import subprocess
import sys
import time


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--signals', type=int, default=3000)
    parser.add_argument('--seconds', type=float, default=30)
    parser.add_argument('--seed', type=int, default=None)
    parser.add_argument('command', nargs='+')
    settings = parser.parse_args()
    seed = settings.seed if settings.seed is not None else random.randrange(1 << 32)
    chance = random.Random(seed)

    command = settings.command + ['--'] * ('--app' in settings.command and '--' not in settings.command)
    process = subprocess.Popen(command + [str(settings.seconds), str(settings.signals), 'acknowledge'],
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    buffer = b''

    def acknowledged(timeout):
        """Wait for one "+" of the program's handler; False if it does not come."""
        nonlocal buffer
        deadline = time.monotonic() + timeout
        while b'+' not in buffer:
            ready, _, _ = select.select([process.stdout], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                return False
            data = os.read(process.stdout.fileno(), 65536)
            if not data:
                return False
            buffer += data
        buffer = buffer.replace(b'+', b'', 1)
        return True

    while b'ready\n' not in buffer:
        data = os.read(process.stdout.fileno(), 65536)
        if not data:
            sys.exit(f'kick_storm: the program ended before it was ready: {process.stderr.read()!r}')
        buffer += data
    buffer = buffer.split(b'ready\n', 1)[1]

    sent = merged = lost = 0
    begin = time.monotonic()
    while sent < settings.signals and time.monotonic() - begin < settings.seconds and process.poll() is None:
        if chance.random() < 0.3:
            time.sleep(chance.random() ** 4 * 0.003)  # mostly short, now and then some milliseconds
        if chance.random() < 0.2:
            process.send_signal(signal.SIGWINCH)
        process.send_signal(signal.SIGUSR1)
        sent += 1
        if not acknowledged(5):
            if process.poll() is None and sent < settings.signals:
                lost += 1
                break
    out, err = process.communicate(timeout=settings.seconds * 2 + 60)
    out = buffer + out
    seen = re.search(rb'SIGUSR1 (\d+) SIGWINCH (\d+) rounds (\d+)', err)
    text = out.replace(b'+', b'').decode('utf-8', 'replace')
    taken = int(seen[1]) if seen else -1
    print(f'seed {seed}: {sent} sent, {taken} taken in {time.monotonic() - begin:.1f} s; {err.decode().strip()}')
    if process.returncode or lost or taken != sent:
        print(f'status {process.returncode}, lost {lost or sent - taken}\n{text}')
        sys.exit(1)


if __name__ == '__main__':
    main()
