"""A long-running `ragline-index --changes`: changes go in as lines, and come back answered."""

import json
import subprocess
import threading

from .cluster import options
from .process import BUILD
from .wait import PATIENCE


class Changer:
    def __init__(self, folder, log, **settings):
        self.log = open(log, "ab")
        self.popen = subprocess.Popen(
            [str(BUILD / "ragline-index"), *options({"index.out": folder, **settings}), "--changes"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
        )
        self.sent = 0
        self.answers = {}
        self.heard = threading.Condition()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.popen.stdout:
            answer = json.loads(line)
            with self.heard:
                self.answers[answer["line"]] = answer
                self.heard.notify_all()
        with self.heard:
            self.heard.notify_all()

    def send(self, *changes):
        """Sends without waiting; returns the line number of the last one."""
        self.popen.stdin.write(b"".join(json.dumps(change).encode() + b"\n" for change in changes))
        self.popen.stdin.flush()
        self.sent += len(changes)
        return self.sent

    def wait(self, line, timeout=PATIENCE):
        with self.heard:
            there = self.heard.wait_for(lambda: line in self.answers, timeout)
            assert there, f"line {line} was not answered; {self.popen.poll()}"
            return self.answers[line]

    def change(self, *changes):
        """Sends and waits until they are in force; returns the numbers."""
        last = self.send(*changes)
        answers = [self.wait(line) for line in range(last - len(changes) + 1, last + 1)]
        wrong = [answer for answer in answers if "error" in answer]
        assert not wrong, wrong
        return [answer["change"] for answer in answers]

    def end(self, status=0):
        self.popen.stdin.close()
        assert self.popen.wait(60) == status
        self.reader.join(10)
        self.log.close()

    def kill(self):
        self.popen.kill()
        self.popen.wait()
        self.reader.join(10)
        self.log.close()
