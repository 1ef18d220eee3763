"""gateway.rewrite = llm: a follow-up question is made to stand on its own by the LLM before retrieval."""

import pytest

from fakes import llm as fake
from harness.wait import until

TURNS = [
    {"role": "user", "content": "Tell me of valves."},
    {"role": "assistant", "content": "There are several."},
]
FOLLOW_UP = {"question": "And how fast is it?", "messages": TURNS, "k": 1}
REWRITTEN = "How fast does the Osprey valve close?"


@pytest.fixture
def cluster(make_cluster, guide, llm):
    one = make_cluster(**{"gateway.rewrite": "llm", "gateway.hard_ms": 1000, "gateway.soft_ms": 900})
    return one.start(guide)


def states(stream):
    return [event.data["state"] for event in stream.of("status")]


def test_the_rewritten_question_is_searched(cluster, llm):
    llm.plan(fake.whole(f'"{REWRITTEN}"\nThat is my answer.'))
    stream = cluster.ask(FOLLOW_UP)
    assert states(stream)[:2] == ["rewriting", "searching"]
    assert "Osprey valve closes" in stream.passages[0]["text"]
    assert stream.names()[-1] == "done"
    rewriting, answering = llm.asked()
    assert not rewriting.json.get("stream") and answering.json["stream"] is True
    said = rewriting.json["messages"][-1]["content"]
    assert "Tell me of valves." in said and "And how fast is it?" in said
    # the model is asked what the person asked
    assert "And how fast is it?" in answering.json["messages"][-1]["content"]
    assert REWRITTEN not in answering.json["messages"][-1]["content"]
    timings = stream.one("timings").data
    assert [s["state"] for s in timings["states"]][:3] == ["received", "rewriting", "searching"]


def test_a_question_that_stands_alone_costs_no_call(cluster, llm):
    for body in (REWRITTEN, {**FOLLOW_UP, "question": REWRITTEN}):
        stream = cluster.ask(body)
        assert "rewriting" not in states(stream)
    assert len(llm.asked()) == 2


@pytest.mark.parametrize("script", [fake.error(500), fake.whole(""), fake.whole('""'), fake.whole("x" * 5000), fake.whole("What pressure does the Kestrel", finish="length"), fake.html(), fake.raw_stream(b"{")])
def test_without_a_rewritten_question_the_conversation_is_searched(cluster, llm, script):
    llm.plan(script)
    body = {**FOLLOW_UP, "messages": [{"role": "user", "content": "Tell me of the Osprey valve that closes."}]}
    stream = cluster.ask(body)
    assert "Osprey" in stream.passages[0]["text"]
    assert stream.names()[-1] == "done"


def test_a_slow_rewrite_takes_nothing_from_the_retrievers(cluster, llm):
    """Longer than retrieval's hard deadline: all sources answer all the same."""
    llm.plan([fake.Sleep(1.2), *fake.whole(REWRITTEN)])
    stream = cluster.ask(FOLLOW_UP)
    coverage = stream.one("sources").data["coverage"]
    assert coverage["answered"] == coverage["of"] == 4
    assert "Osprey valve closes" in stream.passages[0]["text"]


def test_an_llm_that_is_silent_holds_a_question_up_for_seconds_only(cluster, llm):
    llm.plan(fake.never())
    stream = cluster.ask(FOLLOW_UP)
    assert stream.names()[-1] == "done"
    until(lambda: llm.asked()[0].hung_up_at, "the call is given up")


def test_a_client_that_goes_ends_the_rewriting(cluster, llm):
    llm.plan(fake.never())
    stream = cluster.ask(FOLLOW_UP, on_event=lambda stream, event: bool(llm.wait_requests(1)))
    assert states(stream) == ["rewriting"] or not stream.names()
    until(lambda: llm.asked() and llm.asked()[0].hung_up_at, "the call is given up", 2)
    cluster.wait_idle()
