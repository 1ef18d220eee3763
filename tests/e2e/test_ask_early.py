"""ragline-ask before everything is there: on a terminal (an emulator of one) passages that give their place to the
final ones and a quotation that gives its place to the model's words; in a pipe neither in the way of the answer."""

import fcntl
import itertools
import os
import pty
import struct
import subprocess
import termios

import pyte
import pytest

from fakes import embed as fake_embed
from fakes import llm as fake
from harness.process import environment, program, run

pytestmark = pytest.mark.sanitized

SETTINGS = {
    "gateway.progressive_ms": 20, "gateway.weight_dense": 1, "gateway.weight_lexical": 0.001, "gateway.soft_ms": 20000,
    "gateway.hard_ms": 30000, "embed.timeout_ms": 20000,
}  # fmt: skip
ROWS, COLUMNS = 40, 100
_count = itertools.count()


def fresh():
    return f"What pressure does the Kestrel pump run at, case {next(_count)}?"


@pytest.fixture
def slow(embed):
    gate = fake.Gate()

    def close(vectors):
        return [fake_embed.embed("Osprey valve closes seconds power fails spring", embed.dimension)] * len(vectors)

    def script(recorded):
        body = fake_embed.body_of(recorded, embed.dimension, close)
        return [gate, fake_embed.Send(fake_embed.json_response(200, body))]

    embed.always(script)
    yield gate
    gate.open()


def on_terminal(cluster, words, seen):
    """What stands on the terminal at the end; `seen` is called with its lines after each piece."""
    screen = pyte.Screen(COLUMNS, ROWS)
    stream = pyte.ByteStream(screen)
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    process = subprocess.Popen(
        [program("ragline-ask"), "--ask-url", cluster.url, *words], stdin=follower, stdout=follower, stderr=follower,
        cwd=cluster.folder, env=environment({"TERM": "xterm-256color"}),
    )  # fmt: skip
    os.close(follower)
    try:
        while data := os.read(leader, 65536):
            stream.feed(data)
            seen([line.rstrip() for line in screen.display])
    except OSError:
        pass  # the other end is closed
    os.close(leader)
    return process.wait(20), [line.rstrip() for line in screen.display]


def place_of(lines, word):
    return next((at for at, line in enumerate(lines) if word in line), None)


def test_passages_so_far_give_their_place_to_the_final_ones(cluster, slow, llm):
    early = []

    def seen(lines):
        # the last of them is there: all are
        if place_of(lines, "so far") is not None and "   3. " in "\n".join(lines) and not early:
            early.append(lines)
            slow.open()

    status, lines = on_terminal(cluster, [fresh()], seen)
    assert status == 0 and early, lines
    assert "3 passages from 2 of 4 sources so far" in early[0][place_of(early[0], "so far")]
    assert "1. Kestrel pump" in early[0][place_of(early[0], "so far") + 1]
    text = "\n".join(lines)
    assert "so far" not in text, "nothing of it is left"
    head = place_of(lines, "passages from 4 of 4 sources")
    assert head == place_of(early[0], "so far"), "at the same place"
    assert "1. Osprey valve" in lines[head + 1]
    assert text.count("   1. ") == 1
    assert "first passages after" in text


def test_a_quotation_gives_its_place_to_the_models_words(cluster, llm):
    gate, early = fake.Gate(), []
    llm.plan([gate, *fake.stream(["Forty-two ", "bar."])])

    def seen(lines):
        if place_of(lines, "relief valve opens by itself.") is not None and not early:
            early.append(lines)
            gate.open()

    status, lines = on_terminal(cluster, ["--ask-quick-answer", "true", fresh()], seen)
    assert status == 0 and early, lines
    at = place_of(early[0], "Quoted from passage")
    assert "not the model's words" in early[0][at]
    assert "42 bar" in " ".join(early[0][at + 1 : at + 3])
    assert place_of(lines, "Quoted") is None and place_of(lines, "relief valve") is None
    assert lines[at].startswith("Forty-two bar."), lines
    assert "quotation after" in "\n".join(lines)


def test_in_a_pipe_nothing_is_in_the_way_of_the_answer(cluster, llm, embed):
    embed.always(fake_embed.slow(0.3, embed.dimension))
    llm.plan(fake.stream(["Forty-two ", "bar."]))
    words = ["--ask-url", cluster.url, "--ask-quick-answer", "true"]
    done = run("ragline-ask", [*words, fresh()], cluster.folder)
    assert done.returncode == 0 and "\x1b" not in done.stdout + done.stderr
    assert done.stdout.startswith("Forty-two bar.") and len(done.stdout.splitlines()) == 1
    assert "3 passages from 2 of 4 sources so far" in done.stderr
    assert "Quoted from passage" in done.stderr and "42 bar" in done.stderr
    llm.plan(fake.stream(["Forty-two ", "bar."]))
    quiet = run("ragline-ask", [*words, "--quiet", fresh()], cluster.folder)
    assert quiet.stderr == "" and quiet.stdout.startswith("Forty-two bar.")


def test_a_small_terminal_keeps_what_it_cannot_take_back_short(cluster, slow, llm, monkeypatch):
    monkeypatch.setattr("test_ask_early.ROWS", 5)
    early = []

    def seen(lines):
        if place_of(lines, "so far") is not None and "1. Kestrel" in "\n".join(lines) and not early:
            early.append(lines)
            slow.open()

    status, lines = on_terminal(cluster, [fresh()], seen)
    assert status == 0 and early, lines
    assert "   2. " not in "\n".join(early[0]), "two lines of five"
    assert "so far" not in "\n".join(lines)
