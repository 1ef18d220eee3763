"""A terminal for a program under test: a pty, and pyte's screen of what was written to it."""

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time

import pyte

from .process import environment, program
from .wait import PATIENCE, until


class Screen(pyte.Screen):
    @property
    def row(self):
        return self.cursor.y

    @property
    def column(self):
        return self.cursor.x

    def shown(self):
        return [line.rstrip() for line in self.display]

    def text(self):
        return "\n".join(self.shown()).rstrip()


class Terminal:
    def __init__(self, name, args, folder, columns=100, rows=40, env=None):
        self.leader, self.follower = pty.openpty()
        self._set_size(columns, rows)
        self.before = termios.tcgetattr(self.follower)
        self.screen = Screen(columns, rows)
        self.stream = pyte.ByteStream(self.screen)
        self._bytes = b""
        self.process = subprocess.Popen(
            [str(program(name)), *map(str, args)],
            stdin=self.follower, stdout=self.follower, stderr=self.follower, cwd=folder,
            env=environment({"TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **(env or {})}), start_new_session=True,
        )  # fmt: skip

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        with contextlib.suppress(OSError):
            os.close(self.leader)
        os.close(self.follower)

    @property
    def said(self):
        return self._bytes.decode(errors="ignore")  # of the last character only a part may be here

    def resize(self, columns, rows):
        self.screen.resize(rows, columns)
        self._set_size(columns, rows)

    def _set_size(self, columns, rows):
        fcntl.ioctl(self.leader, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def pump(self):
        """Takes what was written so far."""
        while select.select([self.leader], [], [], 0)[0]:
            data = os.read(self.leader, 65536)
            self._bytes += data
            self.stream.feed(data)
        return self.screen

    def type(self, text, delay=0.0):
        """Key by key, if there is a delay between them: the pace of a person, which drafts are made by."""
        for piece in text if delay else [text]:
            os.write(self.leader, piece.encode())
            if delay:
                time.sleep(delay)

    def wait(self, holds, what, timeout=PATIENCE):
        """Until it holds of the screen."""
        try:
            return until(lambda: holds(self.pump()), what, timeout)
        except AssertionError as why:
            raise AssertionError(f"{why}; on the screen:\n{self.screen.text()}") from None

    def wait_line(self, line):
        self.wait(lambda screen: line in screen.shown(), f"the line {line!r}")

    def attributes_are_back(self):
        return termios.tcgetattr(self.follower) == self.before

    def end(self, status=0, timeout=PATIENCE):
        """Its own end."""

        def ended():
            self.pump()
            return self.process.poll() is not None

        until(ended, "it ends", timeout)
        self.pump()
        assert self.process.returncode == status, self.screen.text()
        assert self.attributes_are_back(), "the terminal is as it was"

    def state(self):
        """As in /proc: S sleeping, T stopped."""
        with open(f"/proc/{self.process.pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0]

    def signal(self, number):
        self.process.send_signal(number)


STOP, GO_ON = signal.SIGTSTP, signal.SIGCONT
