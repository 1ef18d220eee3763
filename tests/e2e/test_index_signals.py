"""ragline-index obeys signals within a second, whatever it is at, and its readers end with it."""

import json
import os
import signal
import subprocess
import time

import pytest
from harness.process import BUILD
from harness.wait import until


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(word) for word in file.read().split()]


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.fixture
def corpus(tmp_path):
    folder = tmp_path / "documents"
    folder.mkdir()
    with open(folder / "corpus.jsonl", "w") as out:
        for at in range(200000):
            out.write(json.dumps({"id": f"d{at}", "text": f"Line {at} of many."}) + "\n")
    return folder


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_readers_end_with_it(tmp_path, corpus, number):
    with subprocess.Popen(
        [BUILD / "ragline-index", "--index-out", tmp_path / "index", "--lexical-only", corpus], stderr=subprocess.DEVNULL
    ) as process:
        readers = until(lambda: children(process.pid), "its readers")
        for reader in readers:
            os.kill(reader, signal.SIGSTOP)  # what is read hangs
        process.send_signal(number)
        assert process.wait(timeout=10) == (-signal.SIGKILL if number == signal.SIGKILL else 130)
    until(lambda: not any(alive(reader) for reader in readers), "the end of its readers")
    assert not (tmp_path / "index" / "CURRENT").exists()


def test_what_works_without_the_loop_ends_too():
    """Measuring what a machine can do takes many seconds, and never returns to the loop."""
    with subprocess.Popen(
        [BUILD / "ragline-index", "--size-passages", "300000"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        caught = f"/proc/{process.pid}/status"

        def ready():
            with open(caught) as file:
                mask = next(int(line.split()[1], 16) for line in file if line.startswith("SigCgt"))
            return mask >> (signal.SIGALRM - 1) & 1

        until(ready, "its handlers")
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 130
        assert time.monotonic() - began < 5  # 0.7 s on an idle machine
