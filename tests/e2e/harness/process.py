"""One real process: its log, its end, and what must hold about both."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from .wait import PATIENCE, until

ROOT = Path(__file__).resolve().parents[3]
BUILD = Path(os.environ.get("RAGLINE_BUILD") or ROOT / "build")
if not BUILD.is_absolute():
    BUILD = ROOT / BUILD

# what a sanitizer says, and what a failed assertion of the C library says
DISASTER = re.compile(
    r"ERROR: \w*Sanitizer|runtime error:|Assertion .* failed|\*\*\* stack smashing|"
    r"LeakSanitizer: detected"
)

# the socket becomes descriptor 3 of a process that has the right id already
PASS_LISTENER = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3);"
    "os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid())); os.execv(sys.argv[2], sys.argv[2:])"
)

running = []  # every process of this session that was started and not yet reaped


def environment(extra=None):
    """The environment of a program under test: ours, less every setting of ragline."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("RAGLINE_")}
    for size in ("LINES", "COLUMNS"):  # of the terminal that runs the tests, as pytest-xdist sets them
        env.pop(size, None)
    for proxy in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        env.pop(proxy, None)
    env["ASAN_OPTIONS"] = "exitcode=99:abort_on_error=0:detect_stack_use_after_return=1"
    env["UBSAN_OPTIONS"] = "print_stacktrace=1:halt_on_error=1"
    env["LSAN_OPTIONS"] = f"suppressions={Path(__file__).with_name('lsan.supp')}:print_suppressions=0"
    env.update(extra or {})
    return env


def program(name):
    path = BUILD / name
    if not path.exists():
        raise FileNotFoundError(f"{path} is not built: make all")
    return path


class Process:
    """`expect_exit` is the status that stop() insists on; None accepts any (after a kill).
    `listen` is a listening socket that is passed on as service managers do (sd_listen_fds)."""

    def __init__(self, name, args, folder, env=None, expect_exit=0, argv0=None, listen=None):
        self.name = name
        self.expect_exit = expect_exit
        self.log_path = Path(folder) / f"{name}.log"
        command = [str(argv0 or program(name.split(".")[0])), *map(str, args)]
        if listen:
            command = [sys.executable, "-c", PASS_LISTENER, str(listen.fileno()), *command]
        with open(self.log_path, "ab") as log:
            self.popen = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment(env),
                cwd=folder,
                pass_fds=[listen.fileno()] if listen else [],
                start_new_session=True,
            )
        running.append(self)

    @property
    def pid(self):
        return self.popen.pid

    def alive(self):
        return self.popen.poll() is None

    def log(self):
        return self.log_path.read_text(errors="replace")

    def wait_log(self, pattern, timeout=PATIENCE):
        """Waits until a line of the log matches; returns the match."""

        def look():
            found = re.search(pattern, self.log(), re.M)
            if not found and not self.alive():
                raise RuntimeError(
                    f"{self.name} ended with {self.popen.returncode} before its log said "
                    f"{pattern!r}:\n{self.log()[-3000:]}"
                )
            return found

        return until(look, f"{self.name} logs {pattern!r}", timeout)

    def signal(self, number):
        self.popen.send_signal(number)

    def kill(self):
        """Ends it without a chance to clean up; stop() then accepts that."""
        self.expect_exit = None
        if self.alive():
            self.signal(signal.SIGKILL)
        self.popen.wait()
        self._forget()

    def wait(self, timeout=PATIENCE):
        """Waits for its own end; returns the exit status."""
        try:
            status = self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} still runs after {timeout:g} s") from None
        self._forget()
        return status

    def stop(self, timeout=PATIENCE):
        """SIGTERM, its end, and the checks: the right exit status, nothing left, no disaster."""
        if self.alive():
            self.signal(signal.SIGTERM)
        try:
            status = self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
            self._forget()
            raise AssertionError(
                f"{self.name} did not end within {timeout:g} s of SIGTERM:\n{self.log()[-3000:]}"
            ) from None
        self._forget()
        self.check_log()
        if self.expect_exit is not None:
            assert status == self.expect_exit, (
                f"{self.name} ended with {status}, not {self.expect_exit}:\n{self.log()[-3000:]}"
            )
        return status

    def check_log(self):
        found = DISASTER.search(self.log())
        assert not found, f"{self.name}: {found.group(0)}\n{self.log()[-8000:]}"

    def _forget(self):
        if self in running:
            running.remove(self)

    # what /proc knows, for tests of what a process costs

    def open_files(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def cpu_seconds(self):
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run(name, args, folder, env=None, timeout=60, text=True, input=None):
    """Runs a program to its end; returns the CompletedProcess (stdout, stderr apart)."""
    done = subprocess.run(
        [str(program(name)), *map(str, args)],
        stdin=subprocess.DEVNULL if input is None else None,
        input=input,
        capture_output=True,
        text=text,
        env=environment(env),
        cwd=folder,
        timeout=timeout,
    )
    said = done.stderr if text else done.stderr.decode(errors="replace")
    found = DISASTER.search(said)
    assert not found, f"{name}: {found.group(0)}\n{said[-8000:]}"
    return done


def stop_leftovers():
    """The last resort at the end of a session; what it finds is a mistake of a test."""
    left = list(running)
    for process in left:
        if process.alive():
            process.popen.kill()
            process.popen.wait()
        process._forget()
    return [process.name for process in left]


def now():
    """Seconds of the same clock as the programs' own durations."""
    return time.monotonic()
