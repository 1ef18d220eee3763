"""The LLM server is wrong in every way that HTTP and server-sent events leave open: a clear error or
the right answer, and never a half one that looks whole."""

import email.utils
import json
import re
import time

import pytest

from fakes import llm as fake
from harness.cluster import check_error, error_of
from harness.wait import until

pytestmark = pytest.mark.sanitized

QUESTION = "What pressure does the Kestrel pump run at?"
SETTINGS = {"llm.first_token_ms": 1500, "llm.idle_ms": 1000, "llm.connect_ms": 1000}


def failed(stream):
    """The error of a stream that ended with one."""
    assert stream.complete, stream.names()
    assert stream.names()[-1] == "error", stream.names()
    assert "done" not in stream.names()
    check_error(stream.error)
    return stream.error


def answered(stream, text):
    assert stream.complete
    assert stream.names()[-2:] == ["timings", "done"], stream.events[-1]
    assert stream.text == text
    return stream.one("done").data


# ---- bytes that are right, however they come --------------------------------------------------------------

TEXT = ["Größe: ", "42 ", "bar — ", "日本語", " 🙂", "."]
EVENTS = b"".join(fake.events_of(TEXT, usage=fake.USAGE))


@pytest.mark.parametrize("sizes", [(1,), (2, 3), (7,), (1000, 1), (10**6,)], ids=str)
def test_any_cut_of_the_bytes(cluster, llm, sizes):
    llm.plan(fake.stream_bytes(EVENTS, sizes))
    answered(cluster.ask(QUESTION), "".join(TEXT))


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"], ids=["lf", "crlf", "cr"])
@pytest.mark.parametrize("size", [1, 10**6])
def test_any_line_end(cluster, llm, newline, size):
    data = b"".join(fake.events_of(TEXT, newline=newline))
    llm.plan(fake.stream_bytes(data, (size,)))
    answered(cluster.ask(QUESTION), "".join(TEXT))


def test_comments_and_fields_that_nobody_knows(cluster, llm):
    data = b": hello\n\n\xef\xbb\xbf"[:9]
    for one in fake.events_of(TEXT):
        data += b": keep-alive\n\nevent: whatever\nid: 7\nretry: 100\nfoo: bar\n" + one + b"\n\n:\n\n"
    llm.plan(fake.stream_bytes(data, (13,)))
    # events of another name than "message" are data too: servers differ
    stream = cluster.ask(QUESTION)
    answered(stream, "".join(TEXT))


def test_a_space_after_the_colon_may_be_missing(cluster, llm):
    data = EVENTS.replace(b"data: ", b"data:")
    llm.plan(fake.stream_bytes(data, (50,)))
    answered(cluster.ask(QUESTION), "".join(TEXT))


def test_a_character_split_over_events(cluster, llm):
    """Servers that cut tokens at bytes escape halves as lone surrogates, or send raw halves."""
    whole = "ab🙂cd"
    raw = whole.encode()
    events = [fake.event(fake.chunk_json({"role": "assistant"}))]
    for part in (raw[:3], raw[3:4], raw[4:]):
        head, tail = fake.chunk_json({"content": "@"}).encode().split(b"@")
        events.append(b"data: " + head + part + tail + b"\n\n")
    events += fake.events_of([])[1:]
    llm.plan(fake.stream_bytes(b"".join(events), (9,)))
    stream = cluster.ask(QUESTION)
    done = stream.one("done").data
    assert done["finish_reason"] == "stop"
    # either put together again, or shown as replacement characters; never broken UTF-8, never lost
    assert stream.text == whole or re.fullmatch("ab\ufffd+cd", stream.text), stream.text


def test_escaped_surrogate_pairs(cluster, llm):
    events = fake.events_of(["@"])
    events[1] = events[1].replace(b"@", b"\\ud83d\\ude42 \\u00e4")
    llm.plan(fake.stream_bytes(b"".join(events)))
    answered(cluster.ask(QUESTION), "🙂 ä")


def test_a_stream_without_done_marker(cluster, llm):
    data = b"".join(fake.events_of(TEXT)[:-1])
    llm.plan(fake.stream_bytes(data, (40,)))
    answered(cluster.ask(QUESTION), "".join(TEXT))


def test_a_stream_that_ends_with_the_connection(cluster, llm):
    llm.plan(fake.stream_bytes(EVENTS, (60,), head=fake.STREAM_HEAD_CLOSE))
    answered(cluster.ask(QUESTION), "".join(TEXT))


def test_usage_in_the_last_chunk_or_one_of_its_own_or_none(cluster, llm):
    llm.plan(fake.stream(TEXT, usage=None))
    done = answered(cluster.ask(QUESTION), "".join(TEXT))
    assert done["usage"]["completion_tokens"] > 0, "estimated where the server does not say"
    usage = done["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    llm.plan(fake.stream(TEXT))
    assert answered(cluster.ask(QUESTION), "".join(TEXT))["usage"] == fake.USAGE


def test_a_json_body_instead_of_a_stream(cluster, llm):
    llm.plan(fake.whole("In one piece."))
    done = answered(cluster.ask(QUESTION), "In one piece.")
    assert done["usage"] == fake.USAGE


@pytest.mark.parametrize("finish", ["stop", "length", "content_filter"])
def test_the_finish_reason_is_told(cluster, llm, finish):
    llm.plan(fake.stream(TEXT, finish=finish))
    assert answered(cluster.ask(QUESTION), "".join(TEXT))["finish_reason"] == finish


def test_an_empty_answer_is_an_answer_or_an_error_but_ends(cluster, llm):
    llm.plan(fake.stream([]))
    stream = cluster.ask(QUESTION)
    assert stream.complete
    assert stream.names()[-1] in ("done", "error")


def test_nulls_and_empty_choices_are_passed_over(cluster, llm):
    events = [
        fake.event(fake.chunk_json({"role": "assistant", "content": None})),
        fake.event(json.dumps({"id": "x", "choices": []})),
        fake.event(json.dumps({"id": "x", "choices": None})),
        fake.event(fake.chunk_json({"content": "words", "refusal": None, "tool_calls": None})),
        *fake.events_of([])[1:],
    ]
    llm.plan(fake.stream_bytes(b"".join(events)))
    answered(cluster.ask(QUESTION), "words")


def test_reasoning_is_not_shown_as_the_answer(cluster, llm):
    events = fake.events_of(["the answer"])
    events.insert(1, fake.event(fake.chunk_json({"reasoning_content": "let me think"})))
    llm.plan(fake.stream_bytes(b"".join(events)))
    answered(cluster.ask(QUESTION), "the answer")


def test_a_long_answer_comes_whole(cluster, llm):
    tokens = [f"{n} " for n in range(3000)]
    llm.plan(fake.stream(tokens))
    answered(cluster.ask(QUESTION), "".join(tokens))


# ---- what is wrong -------------------------------------------------------------------------------------


def test_refused_connections(cluster, llm):
    llm.down()
    error = failed(cluster.ask(QUESTION))
    assert llm.url.split("/")[2].split(":")[1] in error["message"] or "LLM" in error["message"]
    answer = cluster.post("/v1/ask", {"question": QUESTION, "stream": False})
    assert answer.status in (502, 503)
    error_of(answer)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 500, 502, 503])
def test_an_error_status_is_told(cluster, llm, status):
    llm.always(fake.error(status, "the fake has its reasons"))
    error = failed(cluster.ask(QUESTION))
    assert str(status) in error["message"] or "reasons" in error["message"], error
    answer = cluster.post("/v1/ask", {"question": QUESTION, "stream": False})
    assert answer.status in ((503, 502) if status >= 500 else (502, 400)), answer.body
    if status in (401, 403, 404):
        # a mistake in the configuration: the message helps to find it
        assert re.search(r"llm\.(key|url|model)", error["message"]), error["message"]


def test_the_llms_key_is_never_shown(cluster, llm, make_cluster, guide):
    one = make_cluster(**{"llm.key": "sk-very-secret-1234"})
    one.start(guide)
    llm.always(fake.error(401, "Incorrect API key provided: sk-very-secret-1234"))
    stream = one.ask(QUESTION)
    assert llm.asked()[-1].headers["authorization"] == "Bearer sk-very-secret-1234"
    failed(stream)
    for process in one.processes:
        assert "sk-very-secret" not in process.log()
    assert "sk-very-secret" not in json.dumps([event.text for event in stream.events])


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_of_a_429_is_passed_on(cluster, llm, form):
    value = "7" if form == "seconds" else email.utils.formatdate(time.time() + 7, usegmt=True)
    llm.always(fake.error(429, "slow down", headers={"Retry-After": value}))
    answer = cluster.post("/v1/ask", {"question": QUESTION, "stream": False, "timeout_ms": 5000})
    assert answer.status in (429, 503), answer.body
    assert 4 <= int(answer.headers["retry-after"]) <= 8
    error_of(answer)


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(fake.html(), id="html"),
        pytest.param(fake.html(500), id="html 500"),
        pytest.param([fake.Send(fake.response(200, {"Content-Type": "application/json"}, b'{"choices":[{'))], id="malformed json"),
        pytest.param([fake.Send(fake.json_response(200, {"hello": "world"}))], id="json of another kind"),
        pytest.param([fake.Send(fake.json_response(200, []))], id="a json array"),
        pytest.param(fake.raw_stream(b"data: {nonsense\n\n"), id="malformed event"),
        pytest.param(fake.raw_stream(b"this is no event stream at all\n\n"), id="no event stream"),
        pytest.param(fake.raw_stream(b"data: 17\n\ndata: [DONE]\n\n"), id="a number as event"),
        pytest.param(fake.raw_stream(b""), id="empty stream"),
        pytest.param(fake.raw_stream(b"data: " + b"x" * 3_000_000), id="an endless event"),
        pytest.param(fake.raw_stream(b"data: {\"choices\":[{\"delta\":{\"content\":[[[[" + b"[" * 100_000), id="deep nesting"),
        pytest.param([fake.Send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: -5\r\n\r\n"), fake.Close()], id="wrong length"),
        pytest.param([fake.Send(b"SSH-2.0-OpenSSH_9.2\r\n"), fake.Close()], id="no http"),
        pytest.param([fake.Close()], id="closed without a word"),
        pytest.param([fake.Close(reset=True)], id="reset without a word"),
        pytest.param([fake.Send(fake.STREAM_HEAD), fake.Close()], id="closed after the headers"),
    ],
)  # fmt: skip
def test_nonsense_is_an_error(cluster, llm, script):
    llm.always(script)
    error = failed(cluster.ask(QUESTION))
    assert "LLM" in error["message"], error
    answer = cluster.post("/v1/ask", {"question": QUESTION, "stream": False})
    assert answer.status in (502, 503), answer.body
    error_of(answer)


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("count", [1, 3])
def test_cut_in_the_middle(cluster, llm, count, reset):
    """What was delivered stays, an explicit error follows: it is never shown as a whole answer."""
    tokens = ["One ", "two ", "three "][:count]
    llm.always(fake.cut(tokens, reset))
    stream = cluster.ask(QUESTION)
    failed(stream)
    assert "".join(tokens).startswith(stream.text)
    if not reset:
        assert stream.text == "".join(tokens)
    answer = cluster.post("/v1/ask", {"question": QUESTION, "stream": False})
    assert answer.status in (502, 503)


def test_cut_at_the_end_of_the_connection_without_a_finish(cluster, llm):
    """A body that ends with the connection and has neither finish_reason nor [DONE] is not whole."""
    data = b"".join(fake.events_of(["One ", "two "])[:3])
    llm.always(fake.stream_bytes(data, (1000,), head=fake.STREAM_HEAD_CLOSE))
    failed(cluster.ask(QUESTION))


def test_an_error_object_in_the_stream(cluster, llm):
    events = fake.events_of(["One "])[:2]
    events.append(fake.event(json.dumps({"error": {"message": "out of memory here", "code": 500}})))
    llm.always(fake.stream_bytes(b"".join(events), (1000,)))
    stream = cluster.ask(QUESTION)
    assert "out of memory here" in failed(stream)["message"]
    assert stream.text == "One "


def test_silence_in_the_middle(cluster, llm):
    llm.always(fake.silent(["One "]))
    start = time.monotonic()
    stream = cluster.ask(QUESTION)
    error = failed(stream)
    assert 0.9 <= time.monotonic() - start < 10
    assert stream.text == "One "
    assert error["code"]
    until(lambda: llm.asked()[0].hung_up_at, "the transfer is closed")


def test_never_an_answer(cluster, llm):
    llm.always(fake.never())
    start = time.monotonic()
    error = failed(cluster.ask(QUESTION))
    assert time.monotonic() - start < 12
    assert re.search(r"1[.,]?5|1500|llm\.first_token_ms|in time|timed? ?out|no answer", error["message"]), error


def test_headers_and_then_never_a_token(cluster, llm):
    llm.always(fake.silent())
    failed(cluster.ask(QUESTION))


def test_the_requests_own_deadline(cluster, llm):
    llm.always(fake.never())
    start = time.monotonic()
    answer = cluster.post("/v1/ask", {"question": QUESTION, "stream": False, "timeout_ms": 500})
    assert time.monotonic() - start < 3
    assert answer.status == 504, answer.body
    error_of(answer)
    asked = llm.asked()[-1]
    until(lambda: asked.over, "the transfer is closed")


def test_the_deadline_in_the_middle_of_a_stream(cluster, llm):
    llm.always(fake.stream(["x "] * 100, every=0.05))
    stream = cluster.ask({"question": QUESTION, "timeout_ms": 700})
    failed(stream)
    assert stream.text.startswith("x ")


# ---- fallback: extractive ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def falling(work, _llm, _embed, guide):
    """A cluster with llm.fallback = extractive."""
    from conftest import end_cluster, new_cluster

    settings = {"llm.fallback": "extractive", "llm.first_token_ms": 1500, "llm.idle_ms": 1000}
    settings["llm.breaker_failures"] = 0  # each test wants the LLM to be asked (test_upstreams.py has the rest)
    cluster = new_cluster(work, "falling", llm=_llm, embed=_embed, **settings)
    try:
        yield cluster.start(guide)
    finally:
        end_cluster(cluster)


def check_extractive(stream):
    assert stream.complete and stream.names()[-1] == "done", stream.events[-1]
    done = stream.one("done").data
    assert done["upstream"] == "extractive"
    assert done["model"] == "extractive"
    assert "42 bar" in stream.text, stream.text
    assert done["citations"]
    for citation in done["citations"]:
        assert 1 <= citation["passage"] <= len(stream.passages)


def fell_back(stream):
    check_extractive(stream)
    states = {event.data["state"]: event.data["message"] for event in stream.of("status")}
    assert "fallback" in states
    assert stream.names().index("token") > next(
        at for at, e in enumerate(stream.events) if e.name == "status" and e.data["state"] == "fallback"
    )


def test_extractive_answers_when_the_llm_refuses(falling, llm):
    llm.down()
    fell_back(falling.ask(QUESTION))


@pytest.mark.parametrize(
    "script",
    [fake.error(500), fake.error(503), fake.html(), fake.never(), fake.raw_stream(b"data: {x\n\n"), [fake.Close()]],
    ids=["500", "503", "html", "never", "malformed", "closed"],
)  # fmt: skip
def test_extractive_answers_when_the_llm_keeps_failing(falling, llm, script):
    llm.always(script)
    fell_back(falling.ask(QUESTION))


@pytest.mark.parametrize("status", [401, 404])
def test_a_mistake_in_the_configuration_is_no_reason_to_fall_back(falling, llm, status):
    llm.always(fake.error(status))
    error = failed(falling.ask(QUESTION))
    assert str(status) in error["message"]


def test_no_second_answer_after_the_first_words(falling, llm):
    """Once words of the model were shown, the sentences of the passages never follow them."""
    llm.always(fake.cut(["Words of the model "]))
    stream = falling.ask(QUESTION)
    failed(stream)
    assert stream.text == "Words of the model "


def test_the_llm_is_used_again_when_it_is_back(falling, llm):
    llm.down()
    fell_back(falling.ask(QUESTION))
    llm.up()

    def back():
        stream = falling.ask(QUESTION)
        return stream.one("done").data["upstream"] == "openai"

    until(back, "the LLM answers again")


def test_extractive_serves_where_no_llm_is_configured(make_cluster, guide):
    one = make_cluster(llm=None)
    one.start(guide)
    stream = one.ask(QUESTION)
    check_extractive(stream)
    answer = one.post("/v1/ask", {"question": QUESTION, "stream": False}).json()
    assert answer["upstream"] == "extractive" and answer["model"] == "extractive"


# ---- the prompt ---------------------------------------------------------------------------------------------


def test_the_budget_drops_the_last_passages_and_says_so(make_cluster, guide, llm):
    one = make_cluster(**{"llm.context_tokens": 300, "llm.max_tokens": 64})
    one.start(guide)
    stream = one.ask({"question": QUESTION, "k": 12})
    done = answered(stream, "".join(fake.DEFAULT_TOKENS))
    assert 1 <= done["passages_used"] < len(stream.passages)
    prompt = llm.prompt()
    assert "42 bar" in prompt, "the best passage is the last to go"
    last = stream.passages[-1]["text"]
    assert last not in prompt
    said = " ".join(event.data["message"] for event in stream.of("status"))
    assert str(done["passages_used"]) in said or "passages" in said


TEMPLATE = """# how a lighthouse keeper is asked
[passage]
<{n}> {where}: {text}
[system]
Answer like a lighthouse keeper.
[turns]
[user]
{passages}
Shouted from the sea: {question}
"""


def test_a_template_file(make_cluster, guide, llm, work):
    mine = work / "mine.txt"
    mine.write_text(TEMPLATE)
    one = make_cluster(**{"llm.template": mine})
    one.start(guide)
    turns = [{"role": "user", "content": "Ahoy?"}, {"role": "assistant", "content": "Aye."}]
    answered(one.ask({"question": QUESTION, "messages": turns}), "".join(fake.DEFAULT_TOKENS))
    messages = llm.asked()[-1].json["messages"]
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "user"]
    assert messages[0]["content"].strip() == "Answer like a lighthouse keeper."
    assert [message["content"] for message in messages[1:3]] == ["Ahoy?", "Aye."]
    assert "<1> Kestrel pump" in messages[3]["content"]
    assert messages[3]["content"].strip().endswith(f"Shouted from the sea: {QUESTION}")
