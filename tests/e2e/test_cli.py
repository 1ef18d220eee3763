"""ragline-ask: for people at a terminal, for pipes and for scripts."""

import os
import pty
import re
import signal
import subprocess
import threading

import pytest

from fakes import llm as fake
from harness.process import environment, program, run
from harness.wait import until

pytestmark = pytest.mark.sanitized

QUESTION = "What pressure does the Kestrel pump run at?"


def ask(cluster, *words, **more):
    return run("ragline-ask", ["--ask-url", cluster.url, *words], cluster.folder, **more)


def test_plain_text_when_piped(cluster, llm):
    done = ask(cluster, QUESTION)
    assert done.returncode == 0, done.stderr
    assert "".join(fake.DEFAULT_TOKENS) in done.stdout
    assert "\x1b" not in done.stdout and "\r" not in done.stdout
    assert "kestrel" in (done.stdout + done.stderr).lower()


def test_a_question_of_several_words(cluster, llm):
    done = ask(cluster, *QUESTION.split())
    assert done.returncode == 0
    assert QUESTION in llm.prompt()


def on_terminal(cluster, words, seen=None):
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [program("ragline-ask"), "--ask-url", cluster.url, *words],
        stdin=follower, stdout=follower, stderr=follower, cwd=cluster.folder,
        env=environment({"TERM": "xterm-256color", "COLUMNS": "100"}),
    )  # fmt: skip
    os.close(follower)
    said = b""
    try:
        while True:
            data = os.read(leader, 65536)
            if not data:
                break
            said += data
            if seen:
                seen(said, process)
    except OSError:
        pass  # the other end is closed
    os.close(leader)
    return process.wait(20), said.decode(errors="replace")


def test_a_terminal_shows_status_passages_words_and_where_the_time_went(cluster, llm):
    script, gate = fake.gated(["The Kestrel pump runs "], ["at a pressure of 42 bar."])
    llm.plan(script)
    early = []

    def seen(said, process):
        if b"Kestrel pump runs" in said and not gate._open.is_set():
            early.append(said.decode())
            gate.open()

    status, said = on_terminal(cluster, [QUESTION], seen)
    assert status == 0, said
    assert early, "words come as they are written"
    assert "passages from 4 of 4 sources" in said
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said)
    assert "42 bar" in plain
    assert "[1]" in plain
    assert "ms" in plain


def test_a_pipe_that_closes_is_no_crash(cluster, llm):
    command = f"{program('ragline-ask')} --ask-url {cluster.url} '{QUESTION}' | head -c 1"
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, env=environment(), timeout=20, stdin=subprocess.DEVNULL
    )
    assert "Sanitizer" not in done.stderr


def test_an_interrupt_stops_the_answer(cluster, llm):
    llm.plan(fake.silent(["Some words "]))
    process = subprocess.Popen(
        [program("ragline-ask"), "--ask-url", cluster.url, QUESTION], stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(), cwd=cluster.folder,
    )  # fmt: skip
    try:
        asked = llm.wait_requests(1)[0]
        process.send_signal(signal.SIGINT)
        status = process.wait(10)
    finally:
        process.kill()
        process.communicate()
    assert status not in (0, None)
    until(lambda: asked.hung_up_at, "the transfer from the LLM is closed")


@pytest.mark.parametrize("wrong", ["error", "cut", "no server", "no gateway", "unknown collection", "no question"])
def test_the_exit_status_tells_scripts(cluster, llm, wrong):
    words = [QUESTION]
    if wrong == "error":
        llm.always(fake.error(401))
    elif wrong == "cut":
        llm.always(fake.cut(["Half "]))
    elif wrong == "no server":
        words = ["--ask-url", "http://127.0.0.1:1", QUESTION]
    elif wrong == "no gateway":
        words = ["--ask-url", llm.url, QUESTION]
    elif wrong == "unknown collection":
        words = ["--collection", "nowhere", QUESTION]
    else:
        words = []
    done = ask(cluster, *words)
    assert done.returncode not in (0, None), done.stdout
    assert done.stderr.strip(), "it says why"


def test_text_of_passages_cannot_drive_the_terminal(cluster, llm):
    llm.plan(fake.stream(["\x1b]0;owned\x07 \x1b[2J red \x9b31m text", " end."]))
    status, said = on_terminal(cluster, [QUESTION])
    assert status == 0
    assert "\x1b]0;owned" not in said and "\x1b[2J" not in said and "\x9b31m" not in said


def test_a_key(make_cluster, guide, work):
    import hashlib

    keys = work / "cli-keys"
    keys.write_text("alice sha256:" + hashlib.sha256(b"alice-key").hexdigest() + "\n")
    one = make_cluster(**{"gateway.keys_file": keys})
    one.start_gateway()
    one.start_retriever(guide)
    one.start_generator()
    until(lambda: one.get("/readyz").status == 200, "ready")
    done = ask(one, QUESTION)
    assert done.returncode not in (0, None) and "key" in done.stderr.lower()
    done = ask(one, QUESTION, env={"RAGLINE_ASK_KEY": "alice-key"})
    assert done.returncode == 0, done.stderr


def test_many_at_once(cluster, llm):
    results = []
    threads = [threading.Thread(target=lambda: results.append(ask(cluster, QUESTION))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [done.returncode for done in results] == [0] * 8
