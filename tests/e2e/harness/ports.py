"""Ports for one test session: below the range that the kernel hands out by itself, and held by a
lock file, so that sessions and workers that run side by side never choose the same one."""

import fcntl
import os
import random
import socket
import tempfile

_FOLDER = os.path.join(tempfile.gettempdir(), f"ragline-test-ports-{os.getuid()}")
_held = []  # open lock files: they keep their ports until this process ends
_random = random.Random(os.getpid())


def free_port():
    os.makedirs(_FOLDER, exist_ok=True)
    for _ in range(1000):
        port = _random.randrange(12000, 30000)
        lock = open(os.path.join(_FOLDER, str(port)), "w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            lock.close()
            continue
        _held.append(lock)
        return port
    raise RuntimeError("no free port between 12000 and 30000")
