"""What LLM servers were seen to do (fakes/llm.py's catalogue): each end is taken for what it is. One cluster
with a fallback answers all of it."""

import random
import re

import pytest

from fakes import llm as fake
from harness.cluster import error_of
from harness.wait import until

pytestmark = pytest.mark.sanitized

QUESTION = "What pressure does the Kestrel pump run at?"
SETTINGS = {
    "llm.fallback": "extractive",
    "llm.breaker_failures": 0,  # each question is to reach the fake
    "llm.first_token_ms": 3000,
    "llm.idle_ms": 2000,
    "gateway.timeout_ms": 20000,
}
KNOWN = ("stop", "length", "content_filter", "tool_calls", "function_call")


def name_of(entry):
    return entry.name


def check(stream, right):
    assert stream.complete, stream.names()
    last = stream.events[-1]
    if isinstance(right, fake.Whole):
        assert last.name == "done", last
        assert (stream.text, last.data["finish_reason"]) == (right.text, right.finish)
    elif isinstance(right, fake.Error):
        assert last.name == "error", last
        assert stream.text == right.so_far
        assert re.search(right.says, last.data["error"]["message"] if "error" in last.data else last.data["message"]), last
    else:
        assert last.name == "done" and last.data["upstream"] == "extractive", last
        fallback = [event.data for event in stream.of("status") if event.data["state"] == "fallback"]
        assert len(fallback) == 1


@pytest.mark.parametrize("entry", fake.CATALOGUE, ids=name_of)
def test_each_end_is_taken_for_what_it_is(cluster, llm, entry):
    generator = next(one for one in cluster.processes if one.name.startswith("ragline-generator"))
    before = len(generator.log())
    llm.always(entry.script)
    check(cluster.ask(QUESTION), entry.right)
    if isinstance(entry.right, fake.Error) and entry.right.logged:
        until(lambda: entry.right.logged in generator.log()[before:], "the log has the server's words")
    if isinstance(entry.right, fake.Next):
        until(lambda: re.search("falling back to extractive: .*" + entry.right.reason, generator.log()[before:]), "the log has the reason")
    body = {"model": "ragline", "messages": [{"role": "user", "content": QUESTION}]}
    answer = cluster.post("/v1/chat/completions", body)
    if isinstance(entry.right, fake.Error):
        assert answer.status >= 400, answer.body
        error_of(answer)
    else:
        choice = answer.json()["choices"][0]
        assert choice["finish_reason"] in KNOWN and choice["message"]["content"].strip()


@pytest.mark.parametrize("seed", range(4))
def test_any_mixture_ends_whole_or_says_what_is_missing(cluster, llm, seed):
    dice = random.Random(seed)
    for _ in range(40):
        entry, script, cut = fake.random_script(dice)
        llm.always(script)
        stream = cluster.ask(QUESTION)
        assert stream.complete and stream.names()[-1] in ("done", "error"), (entry.name, stream.names())
        if not cut:
            check(stream, entry.right)
        elif stream.names()[-1] == "done" and stream.one("done").data["upstream"] != "extractive":
            assert isinstance(entry.right, fake.Whole) and stream.text == entry.right.text, entry.name


# ---- an answer of a form -----------------------------------------------------------------------------------

FORM = {"response_format": {"type": "json_object"}}


def test_sentences_never_answer_a_request_for_a_form(cluster, llm):
    llm.down()
    body = {"model": "ragline", "messages": [{"role": "user", "content": QUESTION}], **FORM}
    answer = cluster.post("/v1/chat/completions", body)
    assert answer.status >= 500, answer.body
    error_of(answer)
    body["response_format"] = {"type": "text"}
    assert cluster.post("/v1/chat/completions", body).json()["choices"][0]["message"]["content"]


def test_without_a_model_a_form_is_refused_with_the_reason(make_cluster, guide):
    one = make_cluster(llm=None)
    one.start(guide)
    body = {"model": "ragline", "messages": [{"role": "user", "content": QUESTION}], **FORM}
    answer = one.post("/v1/chat/completions", body)
    assert answer.status == 400, answer.body
    assert "language model" in error_of(answer)["message"]
