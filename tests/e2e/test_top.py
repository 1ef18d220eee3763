"""ragline-top: on a terminal (an emulated one), in a pipe, as JSON; several gateways; gateways that come and go."""

import fcntl
import hashlib
import json
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import threading
from contextlib import contextmanager

import pyte
import pytest

from fakes import llm as fake
from harness.ports import free_port
from harness.process import environment, program, run
from harness.wait import until

QUESTION = "What pressure does the Kestrel pump run at?"


def top(cluster, *words, **more):
    return run("ragline-top", [*words, cluster.url], cluster.folder, **more)


def answered(cluster, llm, count=2):
    """So many answers, and the gateway tells of them."""
    llm.always(fake.stream(first=0.03))
    before = cluster.get("/v1/live").json()["totals"]["answers"]
    for _ in range(count):
        assert cluster.ask(QUESTION).complete
    until(lambda: cluster.get("/v1/live").json()["totals"]["answers"] == before + count, "the answers are told")


# ---- once, lines, JSON -------------------------------------------------------------------------------------


def test_once_writes_the_page_and_ends(cluster, llm):
    answered(cluster, llm)
    done = top(cluster, "--once")
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout and not set(done.stdout) & set("\x01\x02\x03\x04\x05\x06\x0e")
    lines = done.stdout.splitlines()
    assert cluster.url in lines[0]
    for title in ("in flight", "per second", "TIME TO", "STAGE", "KIND"):
        assert any(line.startswith(title) for line in lines), title
    prefill = next(line for line in lines if line.startswith("prefill"))
    assert "ms" in prefill and "%" in prefill
    for worker in cluster.workers():
        assert any(line.endswith(worker["worker"]) for line in lines)


def test_json_is_the_gateways_own_in_numbers(cluster, llm):
    answered(cluster, llm)
    done = top(cluster, "--once", "--json")
    assert done.returncode == 0 and done.stdout.count("\n") == 1
    told, own = json.loads(done.stdout), cluster.get("/v1/live").json()
    assert told["gateways"][0]["url"] == cluster.url and told["gateways"][0]["gateway"] == own["gateway"]
    assert told["totals"] == own["totals"]
    assert set(told["windows"]["60"]["stages"]) == set(own["windows"]["60"]["stages"])
    ours = own["windows"]["60"]["times"]["first_token"]
    theirs = told["windows"]["60"]["times"]["first_token"]
    for key in ("count", "p50_ms", "p99_ms", "max_ms"):
        assert theirs[key] == pytest.approx(ours[key], rel=0.01, abs=0.01), key
    assert {w["worker"] for w in told["workers"]} == {w["worker"] for w in own["workers"]}


@contextmanager
def piped(cluster, *words, urls=None):
    process = subprocess.Popen(
        [program("ragline-top"), *words, *(urls or [cluster.url])], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, env=environment(), cwd=cluster.folder,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def pairs(line):
    return dict(word.split("=", 1) for word in line.split()[1:])


def test_a_line_a_second_into_a_pipe(cluster, llm):
    script, gate = fake.gated(["The pump "], ["runs."])
    llm.plan(script)
    asked = threading.Thread(target=cluster.ask, args=(QUESTION,))
    asked.start()
    try:
        with piped(cluster) as process:
            seen = until(lambda: (p := pairs(process.stdout.readline()))["streaming"] == "1" and p, "it is in a line")
            assert seen["in_flight"] == "1" and seen["gateways"] == "1/1" and seen["workers"] == "7/7"
            gate.open()
            until(lambda: pairs(process.stdout.readline())["in_flight"] == "0", "it has ended")
            process.send_signal(signal.SIGTERM)
            assert process.wait(5) == 0
            assert process.stderr.read() == ""
    finally:
        gate.open()
        asked.join()


def test_a_json_object_a_second(cluster):
    with piped(cluster, "--json") as process:
        first, second = (json.loads(process.stdout.readline()) for _ in range(2))
        assert second["gateways"][0]["time"] > first["gateways"][0]["time"]


def test_a_pipe_that_closes_ends_it(cluster):
    with piped(cluster) as process:
        assert process.stdout.readline()
        process.stdout.close()
        assert process.wait(10) == 0
        assert process.stderr.read() == ""


def test_two_gateways_are_one(make_cluster, guide, llm):
    clusters = [make_cluster().start(guide) for _ in range(2)]
    for count, one in enumerate(clusters, 1):
        answered(one, llm, count)
    urls = [one.url for one in clusters]
    done = run("ragline-top", ["--once", "--json", *urls], clusters[0].folder)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["totals"]["answers"] == 3
    assert told["windows"]["60"]["times"]["end"]["count"] == 3
    assert len(told["workers"]) == 10
    away = f"http://127.0.0.1:{free_port()}"
    done = run("ragline-top", ["--once", urls[0], away], clusters[0].folder)
    assert done.returncode == 4
    assert "1 of 2 gateways" in done.stdout and away in done.stdout and away in done.stderr


def test_a_worker_of_two_gateways_is_there_once(make_cluster, guide):
    one, other = make_cluster(), make_cluster()
    one.start_gateway()
    other.start_gateway()
    one.start_retriever(guide, **{"cluster.gateways": f"{one.hub},{other.hub}"})
    for each in (one, other):
        until(lambda each=each: len(each.ready_workers()) == 4, "its retriever is known")
    done = run("ragline-top", ["--once", "--json", one.url, other.url], one.folder)
    assert len(json.loads(done.stdout)["workers"]) == 4


# ---- errors -----------------------------------------------------------------------------------------------


def test_no_gateway_is_said_with_what_to_do(tmp_path):
    url = f"http://127.0.0.1:{free_port()}"
    for words in (["--once"], ["--plain"], ["--json"]):
        done = run("ragline-top", [*words, url], tmp_path)
        assert done.returncode == 3
        assert done.stdout == "" and url in done.stderr and "cannot be reached" in done.stderr


def test_a_server_that_is_no_gateway(tmp_path, llm):
    llm.always(fake.html())
    done = run("ragline-top", ["--once", llm.url], tmp_path)
    assert done.returncode == 3 and llm.url in done.stderr


@pytest.mark.parametrize("words", [["--once", "ftp://example.org"], ["--top-sort", "colour"], ["--quiet"], ["--top-urls", ""]])
def test_wrong_use(tmp_path, words):
    done = run("ragline-top", words, tmp_path)
    assert done.returncode == 2 and done.stderr and done.stdout == ""


def test_a_key(make_cluster, work):
    keys = work / "top-keys"
    keys.write_text("alice sha256:" + hashlib.sha256(b"alice-key").hexdigest() + "\n")
    one = make_cluster(**{"gateway.keys_file": keys})
    one.start_gateway()
    done = top(one, "--once")
    assert done.returncode == 3 and "--top-key-file" in done.stderr
    assert top(one, "--once", env={"RAGLINE_TOP_KEY": "alice-key"}).returncode == 0
    secret = work / "alice-key"
    secret.write_text("alice-key\n")
    assert top(one, "--once", "--top-key-file", secret).returncode == 0


def test_lines_go_on_when_a_gateway_is_restarted(make_cluster):
    one = make_cluster()
    one.start_gateway()
    with piped(one) as process:
        assert pairs(process.stdout.readline())["gateways"] == "1/1"
        one.gateway.stop()
        until(lambda: pairs(process.stdout.readline())["gateways"] == "0/1", "it is away")
        one.start_gateway()
        until(lambda: pairs(process.stdout.readline())["gateways"] == "1/1", "it is back")


# ---- on a terminal -----------------------------------------------------------------------------------------


class Terminal:
    """ragline-top on an emulated terminal."""

    def __init__(self, cluster, words, rows, columns, env):
        self.screen = pyte.Screen(columns, rows)
        self.stream = pyte.ByteStream(self.screen)
        self.raw = b""
        self.leader, follower = pty.openpty()
        self._set_size(rows, columns)
        given = {"TERM": "linux", "LC_ALL": "C.UTF-8", **env}  # what the emulator understands
        self.process = subprocess.Popen(
            [program("ragline-top"), *words], stdin=follower, stdout=follower, stderr=follower, cwd=cluster.folder,
            env=environment(given), start_new_session=True,
        )  # fmt: skip
        os.close(follower)

    def _set_size(self, rows, columns):
        fcntl.ioctl(self.leader, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def resize(self, rows, columns):
        self.screen.resize(rows, columns)
        self._set_size(rows, columns)
        self.process.send_signal(signal.SIGWINCH)

    def press(self, keys):
        os.write(self.leader, keys.encode())

    def _take(self):
        while select.select([self.leader], [], [], 0.02)[0]:
            try:
                data = os.read(self.leader, 65536)
            except OSError:  # the other end is closed
                return
            if not data:
                return
            self.raw += data
            self.stream.feed(data)

    def text(self):
        self._take()
        return "\n".join(self.screen.display)

    def lines(self):
        return [line.rstrip() for line in self.text().splitlines()]

    def until(self, condition, what):
        try:
            return until(lambda: condition(self.text()), what)
        except AssertionError as why:
            raise AssertionError(f"{why}\n{self.text()}") from None

    def shows(self, *words):
        self.until(lambda text: all(word in text for word in words), f"the screen shows {words}")

    def ends(self):
        def look():
            self._take()
            return self.process.poll() is not None

        until(look, "it ends")
        return self.process.returncode


@pytest.fixture
def terminal():
    opened = []

    def make(cluster, *words, rows=50, columns=130, env=None, urls=None):
        one = Terminal(cluster, [*words, *(urls or [cluster.url])], rows, columns, env or {})
        opened.append(one)
        return one

    yield make
    for one in opened:
        if one.process.poll() is None:
            one.process.kill()
        one.process.wait()
        os.close(one.leader)
        assert b"Sanitizer" not in one.raw


def test_a_terminal_shows_stages_and_workers(cluster, llm, terminal):
    answered(cluster, llm)
    shown = terminal(cluster)
    shown.shows("in flight", "prefill", "first token", "SERVED", "h help")
    for worker in cluster.workers():
        shown.shows(worker["worker"])
    assert b"\x1b[3" in shown.raw, "in colours"
    shown.press("q")
    assert shown.ends() == 0
    real = terminal(cluster, env={"TERM": "xterm-256color"})
    real.until(lambda text: b"\x1b[?1049h" in real.raw, "it takes the other screen")
    real.press("q")
    assert real.ends() == 0
    assert b"\x1b[?1049l" in real.raw, "the terminal is given back as it was"


def test_keys_filter_sort_and_help(cluster, terminal):
    shown = terminal(cluster)
    shown.shows("generator-", "retriever-", "sort: kind")
    shown.press("/")
    shown.shows("filter:")
    shown.press("generator")
    shown.until(lambda text: "generator-" in text and "retriever-" not in text, "only generators")
    shown.press("\r")
    shown.shows("/ filter: generator")
    shown.press("/\x15nobody")
    shown.shows("no worker's line has the filter's text")
    shown.press("\x1b")
    shown.until(lambda text: "generator-" in text, "Escape brings the filter back that was there before")
    shown.press("sS")
    shown.shows("sort: load (reversed)")
    shown.press("tw")
    shown.shows("stages: share", "60 s  / filter")
    shown.press("a")
    shown.shows("rewrite")
    shown.press("h")
    shown.shows("Keys", "scroll")
    shown.press("h")
    shown.shows("STAGE")


def test_pause_holds_the_figures(cluster, llm, terminal):
    shown = terminal(cluster)
    shown.shows("TIME TO")
    shown.press("p")
    shown.shows("paused")
    before = [line for line in shown.lines() if line.startswith("end")]
    answered(cluster, llm, 3)
    clock = shown.lines()[0]
    shown.until(lambda text: text.splitlines()[0].rstrip() != clock, "the clock goes on")
    assert [line for line in shown.lines() if line.startswith("end")] == before
    shown.press(" ")
    shown.until(
        lambda text: "paused" not in text and [l.rstrip() for l in text.splitlines() if l.startswith("end")] != before,
        "the figures go on",
    )


def test_what_does_not_fit_scrolls(cluster, terminal):
    shown = terminal(cluster, rows=12, columns=80)
    shown.shows("per second", "h help")
    first = shown.lines()[1]
    shown.press("\x1b[B")  # down
    shown.until(lambda text: text.splitlines()[1].rstrip() != first, "it scrolled by a line")
    shown.press("\x1b[4~")  # End
    shown.shows("lexical")
    shown.press("\x1b[1~")  # Home
    shown.until(lambda text: text.splitlines()[1].rstrip().split()[:2] == first.split()[:2], "it is back at the top")


def test_the_terminals_size_may_change_to_any(cluster, terminal):
    shown = terminal(cluster)
    shown.shows("STAGE")
    for rows, columns in ((3, 20), (1, 1), (2, 5), (24, 80), (60, 200)):
        shown.resize(rows, columns)
        shown.until(lambda text: text.strip() or columns == 1, f"something is drawn in {rows} x {columns}")
        assert shown.process.poll() is None
    shown.shows("60 s: n", "h help")


def test_without_colour(cluster, terminal):
    shown = terminal(cluster, env={"NO_COLOR": "1"})
    shown.shows("STAGE")
    assert b"\x1b[31m" not in shown.raw and b"\x1b[36m" not in shown.raw
    plain = terminal(cluster, env={"TERM": "vt100"})
    plain.shows("STAGE", "WORKER")
    plain.press("q")
    assert plain.ends() == 0


def test_a_terminal_that_is_not_known_gets_lines(cluster, terminal):
    for term in ("dumb", "nobody-made-this"):
        shown = terminal(cluster, env={"TERM": term})
        shown.shows("in_flight=")
        assert b"\x1b[" not in shown.raw
    shown.shows("nobody-made-this")


def test_plain_on_a_terminal(cluster, terminal):
    shown = terminal(cluster, "--plain")
    shown.shows("in_flight=")
    assert b"\x1b" not in shown.raw


def test_the_screen_survives_a_gateway_that_is_restarted(make_cluster, terminal):
    one, other = make_cluster(), make_cluster()
    one.start_gateway()
    other.start_gateway()
    shown = terminal(one, urls=[one.url, other.url])
    shown.shows("2 of 2 gateways")
    one.gateway.stop()
    shown.shows("1 of 2 gateways", one.url)
    one.start_gateway()
    shown.shows("2 of 2 gateways")
    one.gateway.signal(signal.SIGSTOP)
    shown.shows("1 of 2 gateways", "does not answer")
    one.gateway.signal(signal.SIGCONT)
    shown.shows("2 of 2 gateways")


def test_the_screen_waits_for_a_gateway_that_is_not_there_yet(make_cluster, terminal):
    one = make_cluster()
    shown = terminal(one)
    shown.shows("0 of 1 gateways", "cannot be reached")
    one.start_gateway()
    shown.until(lambda text: "cannot be reached" not in text and "no workers" in text, "it is there")
    shown.process.send_signal(signal.SIGINT)
    assert shown.ends() == 0


def test_it_ends_with_its_terminal(cluster, terminal):
    shown = terminal(cluster)
    shown.shows("STAGE")
    os.close(shown.leader)
    shown.leader = os.open(os.devnull, os.O_RDWR)
    assert shown.process.wait(10) is not None
