"""The prompt while it is read: how far the LLM server is, what it says it had read before, and less to
read where it would take too long."""

import pytest

from fakes import llm as fake
from fakes.server import Gate, Send
from harness.wait import until

pytestmark = pytest.mark.sanitized

SETTINGS = {"llm.prefill": "llama"}
QUESTION = "What pressure does the Kestrel pump run at?"


@pytest.fixture
def llm_warm(cluster, llm):
    """The beginning of all prompts has been read: the next request is a question's."""
    until(lambda: "the beginning of prompts is read by" in cluster.processes[-1].log(), "it is read")
    return llm


def reading(processed, total=120, cached=20):
    progress = {"total": total, "cache": cached, "processed": processed, "time_ms": 1}
    return Send(fake.piece(fake.event(fake.chunk_json({"role": "assistant", "content": None}, prompt_progress=progress))))


def answer(*before, prompt=120, cached=20, ms=1000.0):
    """An answer like llama-server's, with these steps before its first word."""
    usage = {"prompt_tokens": prompt, "completion_tokens": 8, "prompt_tokens_details": {"cached_tokens": cached}}
    timings = {"cache_n": cached, "prompt_n": prompt - cached, "prompt_ms": ms}
    *events, end = fake.events_of(fake.DEFAULT_TOKENS)
    last = fake.event(fake.chunk_json(usage=usage, choices=False, timings=timings))
    return [Send(fake.STREAM_HEAD), *before, *(Send(fake.piece(data)) for data in [*events, last, end]), Send(fake.END)]


def test_how_far_it_has_read_is_shown(cluster, llm_warm):
    llm_warm.plan(answer(reading(20), reading(63)))
    stream = cluster.ask(QUESTION)
    told = [event.data for event in stream.of("status") if event.data["state"] == "reading"]
    # the first is the beginning of reading; the second came within the same moment or is told
    assert all(one["message"] == "Reading passages 43 %…" for one in told)
    assert llm_warm.asked()[-1].json["return_progress"] is True
    timings = stream.one("timings").data
    assert timings["cached_tokens"] == 20
    assert timings["prompt_tokens"] == 120
    assert len(timings["prompt_hash"]) == 16


def test_it_is_told_while_it_reads(cluster, llm_warm):
    gate, told = Gate(), []

    def on_event(stream, event):
        if event.name == "status" and event.data["state"] == "reading":
            told.append(event.data)
            assert not stream.of("token")
            gate.open()  # before a word was written

    llm_warm.plan(answer(reading(63), gate))
    stream = cluster.ask(QUESTION, on_event=on_event)
    assert stream.complete and stream.names()[-1] == "done"
    assert [one["message"] for one in told] == ["Reading passages 43 %…"]


def test_the_same_question_has_the_same_prompt(cluster, llm_warm):
    hashes = [cluster.ask(QUESTION).one("timings").data["prompt_hash"] for _ in range(2)]
    assert hashes[0] == hashes[1]
    prompts = [recorded.json["messages"] for recorded in llm_warm.asked()[-2:]]
    assert prompts[0] == prompts[1]
    assert cluster.ask("What is the Heron gauge?").one("timings").data["prompt_hash"] != hashes[0]


def test_less_is_read_where_it_would_take_too_long(cluster, llm_warm):
    for _ in range(8):  # 100 tokens took it 1 s, again and again
        llm_warm.plan(answer(prompt=320, cached=220))
        whole = cluster.ask(QUESTION)
    full = llm_warm.prompt()
    assert "tokens_trimmed" not in whole.one("timings").data
    stream = cluster.ask({"question": QUESTION, "target_first_token_ms": 1000})
    timings = stream.one("timings").data
    assert timings["tokens_trimmed"] > 0
    assert timings["passages_cut"] + timings["passages_repeated"] > 0
    assert any("to be read in time" in event.data["message"] for event in stream.of("status"))
    short = llm_warm.prompt()
    assert len(short) < len(full)
    assert "42 bar" in short, "the sentences that match stay"
    again = cluster.ask(QUESTION)  # without a target nothing is cut
    assert "tokens_trimmed" not in again.one("timings").data
    assert llm_warm.prompt() == full


def test_a_target_is_a_number(cluster):
    refused = cluster.post("/v1/ask", {"question": QUESTION, "target_first_token_ms": -1})
    assert refused.status == 400
    assert "target_first_token_ms" in refused.error["message"]
