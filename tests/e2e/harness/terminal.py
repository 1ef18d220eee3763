"""A terminal for a program under test: a pty, and a screen of what was written to it."""

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
import unicodedata

from .process import environment, program
from .wait import PATIENCE, until

SEQUENCE = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])")


def width(char):
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


class Screen:
    """Rows of cells, as far as these programs' output needs: text that wraps, carriage return, line feed, the cursor
    moved, the rest of a line or screen cleared. A wide character takes two cells, the second of them empty."""

    def __init__(self, columns, rows):
        self.columns, self.rows = columns, rows
        self.clear()
        self.pending = ""

    def clear(self):
        self.cells = [[" "] * self.columns for _ in range(self.rows)]
        self.row = self.column = 0

    def _down(self):
        if self.row == self.rows - 1:
            self.cells = self.cells[1:] + [[" "] * self.columns]
        else:
            self.row += 1

    def _put(self, char):
        if width(char) == 0:
            self.cells[self.row][max(self.column - 1, 0)] += char
            return
        if self.column + width(char) > self.columns:
            self._down()
            self.column = 0
        self.cells[self.row][self.column] = char
        if width(char) == 2:
            self.cells[self.row][self.column + 1] = ""
        self.column += width(char)

    def _sequence(self, numbers, letter):
        count = int(numbers or 1) if numbers.isdigit() or not numbers else 0
        if letter == "A":
            self.row = max(self.row - count, 0)
        elif letter == "C":
            self.column = min(self.column + count, self.columns - 1)
        elif letter == "D":
            self.column = max(min(self.column, self.columns - 1) - count, 0)
        elif letter == "K":
            self.cells[self.row][self.column :] = [" "] * (self.columns - self.column)
        elif letter == "J" and numbers == "2":
            row, column = self.row, self.column
            self.clear()
            self.row, self.column = row, column
        elif letter == "J":
            self._sequence("", "K")
            for row in range(self.row + 1, self.rows):
                self.cells[row] = [" "] * self.columns
        elif letter == "H":
            self.row = self.column = 0
        else:
            assert letter in "mhl", f"a sequence that the screen does not know: {numbers}{letter}"

    def feed(self, text):
        text, self.pending = self.pending + text, ""
        at = 0
        while at < len(text):
            char = text[at]
            if char == "\x1b":
                found = SEQUENCE.match(text, at)
                if not found:
                    self.pending = text[at:]
                    return
                self._sequence(*found.groups())
                at = found.end()
                continue
            if char == "\r":
                self.column = 0
            elif char == "\n":
                self._down()
            elif char != "\a":
                self._put(char)
            at += 1

    def lines(self):
        return ["".join(row).rstrip() for row in self.cells]

    def text(self):
        return "\n".join(self.lines()).rstrip()


class Terminal:
    def __init__(self, name, args, folder, columns=100, rows=40, env=None):
        self.leader, self.follower = pty.openpty()
        self.resize(columns, rows)
        self.before = termios.tcgetattr(self.follower)
        self.screen = Screen(columns, rows)
        self.said = ""
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

    def resize(self, columns, rows):
        fcntl.ioctl(self.leader, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def pump(self):
        """Takes what was written so far."""
        while select.select([self.leader], [], [], 0)[0]:
            self._bytes += os.read(self.leader, 65536)
            text = self._bytes.decode(errors="ignore")  # of a character only a part may be here
            try:
                text = self._bytes.decode()
            except UnicodeDecodeError as why:
                text = self._bytes[: why.start].decode()
            self._bytes = self._bytes[len(text.encode()) :]
            self.said += text
            self.screen.feed(text)
        return self.screen

    def type(self, text, delay=0.0):
        """Key by key, if there is a delay between them."""
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
        self.wait(lambda screen: line in screen.lines(), f"the line {line!r}")

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
