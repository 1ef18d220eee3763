"""Traces leave for a real OpenTelemetry Collector, which hands on what it understood of them; LLM
and embedding servers are told the spans that their work belongs to; a collector that is down, slow
or strange is in nobody's way."""

import re
import secrets
import time

import pytest
from conftest import end_cluster, need, new_cluster
from prometheus_client.parser import text_string_to_metric_families

from fakes import llm as fake
from fakes.server import Hang, Send, json_response, response
from harness.collector import PROGRAM, Collector, Sink, read, traceparent
from harness.wait import until

QUESTION = "What pressure does the Kestrel pump run at?"
SERVER, CLIENT, INTERNAL = 2, 3, 1
SOON = {"otlp.delay_ms": 20}


@pytest.fixture(scope="module")
def collector(work):
    need(PROGRAM.exists(), "the OpenTelemetry Collector")
    folder = work / "collector"
    folder.mkdir()
    one = Collector(folder)
    yield one
    one.stop()


@pytest.fixture(scope="module")
def traced(work, collector, _llm, _embed, guide):
    cluster = new_cluster(work, "traced", llm=_llm, embed=_embed)
    try:
        cluster.settings |= {"gateway.collections": "docs", "log.level": "debug"}
        cluster.settings |= {"otlp.endpoint": collector.endpoint, "otlp.service": "ragline-e2e", **SOON}
        cluster.start(guide)
        yield cluster
    finally:
        end_cluster(cluster)


@pytest.fixture
def sink():
    """A server in place of a collector, which says what a test wants."""
    one = Sink()
    yield one
    one.close()


def new_context(flags="01"):
    trace, parent = secrets.token_hex(16), secrets.token_hex(8)
    return trace, parent, {"traceparent": traceparent(trace, parent, flags)}


def whole_trace(sink, trace):
    """The spans of a trace, once its root is there (which comes with all the others)."""
    return until(lambda: sink.trace(trace), f"trace {trace} is exported")


def one(spans, name, **attributes):
    found = [
        span
        for span in spans
        if re.fullmatch(name, span.name) and attributes.items() <= span.attributes.items()
    ]
    assert len(found) == 1, (name, attributes, spans)
    return found[0]


def check_tree(spans):
    """One root, ids that differ, every child within its parent; returns the root."""
    by_id = {span.id: span for span in spans}
    assert len(by_id) == len(spans)
    roots = [span for span in spans if span.parent not in by_id]
    assert len(roots) == 1, roots
    for span in spans:
        assert span.start <= span.end, span
        if span is not roots[0]:
            parent = by_id[span.parent]
            assert parent.start <= span.start and span.end <= parent.end, (span, parent)
    return roots[0]


def counts(cluster):
    text = cluster.get("/metrics").body.decode()
    out = {
        sample.labels["outcome"]: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "ragline_otlp_spans_total"
    }
    return out["exported"], out["dropped"], out["failed"]


# ---- what is exported ---------------------------------------------------------------------------------


def test_an_answer_is_a_tree_of_spans(traced, collector, llm, embed):
    trace, parent, headers = new_context()
    headers["tracestate"] = "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"
    llm.plan(fake.stream(first=0.06, every=0.005))
    began = time.time_ns()
    stream = traced.ask(QUESTION, headers=headers)
    ended = time.time_ns()
    spans = whole_trace(collector.sink, trace)
    root = check_tree(spans)
    assert root.parent == parent and root.kind == SERVER and root.name == "POST /v1/ask"
    assert began - 2_000_000 <= root.start and root.end <= ended + 2_000_000
    assert not any(span.error for span in spans)
    assert all(span.state == headers["tracestate"] for span in spans)
    assert root.resource["service.name"] == "ragline-e2e"
    assert root.resource["service.instance.id"] == traced.get("/v1/traces").json()["gateway"]
    assert root.resource["process.pid"] == traced.gateway.pid
    assert root.attributes["ragline.outcome"] == "done"
    assert root.attributes["ragline.collection"] == "docs"
    timings = stream.one("timings").data
    assert abs((root.end - root.start) / 1e6 - timings["total_ms"]) < 1
    for event, key in [("first_status", "first_status_ms"), ("sources", "sources_ms"), ("first_token", "first_token_ms")]:
        assert abs((root.events[f"ragline.{event}"] - root.start) / 1e6 - timings[key]) < 0.01
    retrieval = one(spans, "retrieval docs")
    searches = [span for span in spans if span.name.startswith("search ")]
    assert len(searches) == 4 and {span.parent for span in searches} == {retrieval.id}
    assert {(s.attributes["ragline.kind"], s.attributes["ragline.shard"]) for s in searches} == {
        (kind, shard) for kind in ("dense", "lexical") for shard in (0, 1)
    }
    for search in searches:
        inside = {span.name for span in spans if span.parent == search.id}
        assert inside == {"queue", "work"}
    one(spans, "merge")
    generation = one(spans, "generation")
    chat = one(spans, "chat fake-llm")
    assert generation.parent == root.id and chat.parent == generation.id and chat.kind == CLIENT
    assert chat.end - chat.start >= 60_000_000
    said = chat.attributes
    assert said["gen_ai.operation.name"] == "chat" and said["gen_ai.provider.name"] == "openai"
    assert said["gen_ai.request.model"] == said["gen_ai.response.model"] == "fake-llm"
    assert said["gen_ai.usage.input_tokens"] == fake.USAGE["prompt_tokens"]
    assert said["gen_ai.usage.output_tokens"] == fake.USAGE["completion_tokens"]
    assert said["gen_ai.response.finish_reasons"] == ["stop"]
    assert said["gen_ai.request.stream"] is True
    assert (said["server.address"], said["server.port"]) == ("127.0.0.1", llm.port)
    assert 0.06 <= said["gen_ai.response.time_to_first_chunk"] < 5


def test_servers_are_told_the_span_that_is_exported(traced, collector, llm, embed):
    trace, parent, headers = new_context()
    headers["tracestate"] = "congo=t61rcWkgMzE"
    traced.ask(QUESTION, headers=headers)
    spans = whole_trace(collector.sink, trace)
    chat, embedding = one(spans, "chat .*"), one(spans, "embeddings fake-embed")
    asked, embedded = llm.asked()[-1], embed.requests[-1]
    assert read(asked) == (trace, chat.id, "01")
    assert read(embedded) == (trace, embedding.id, "01")
    assert asked.headers["tracestate"] == embedded.headers["tracestate"] == "congo=t61rcWkgMzE"
    assert embedding.attributes["server.address"] == "127.0.0.1"
    assert embedding.attributes["server.port"] == embed.port
    assert embedding.parent == one(spans, "retrieval docs").id


def test_without_a_client_s_trace_it_is_our_own(traced, collector, llm):
    for wrong in (None, traceparent("0" * 32, "1" * 16), traceparent("1" * 32, "0" * 16), "00-xyz", "ff-" + "1" * 32 + "-" + "1" * 16 + "-01"):
        stream = traced.ask(QUESTION, headers={"traceparent": wrong, "tracestate": "a=b"} if wrong else None)
        assert stream.names()[-1] == "done"
        trace, span, flags = read(llm.asked()[-1])
        assert trace not in ("0" * 32, "1" * 32) and flags == "01"
        assert "tracestate" not in llm.asked()[-1].headers
        spans = whole_trace(collector.sink, trace)
        root = check_tree(spans)
        assert root.parent == "" and one(spans, "chat .*").id == span
        kept = traced.get(f"/v1/traces/{root.attributes['ragline.answer']}").json()
        assert kept["trace_id"] == trace


def test_a_later_version_of_the_header_is_understood(traced, collector):
    trace, parent = secrets.token_hex(16), secrets.token_hex(8)
    traced.ask(QUESTION, headers={"traceparent": f"cc-{trace}-{parent}-01-what-the-future-will-be-like"})
    assert check_tree(whole_trace(collector.sink, trace)).parent == parent


def test_a_client_that_does_not_sample_is_not_traced(traced, collector, llm):
    trace, _, headers = new_context("00")
    traced.ask(QUESTION, headers=headers)
    told, _, flags = read(llm.asked()[-1])
    assert (told, flags) == (trace, "00")
    later, _, headers = new_context()
    traced.ask(QUESTION, headers=headers)
    whole_trace(collector.sink, later)  # answers leave in their order
    assert not collector.sink.trace(trace)


def test_a_failed_answer_is_an_error(traced, collector, llm):
    trace, _, headers = new_context()
    llm.always(fake.error(400))
    stream = traced.ask(QUESTION, headers=headers)
    spans = whole_trace(collector.sink, trace)
    root = check_tree(spans)
    assert root.error and root.attributes["error.type"] == stream.error["code"]
    assert root.attributes["ragline.outcome"] == "failed"
    chats = [span for span in spans if span.name.startswith("chat")]
    assert chats and all(chat.error for chat in chats)
    assert {read(asked)[1] for asked in llm.asked()} <= {chat.id for chat in chats}


def test_a_client_that_leaves_is_no_error(traced, collector, llm):
    trace, _, headers = new_context()
    script, gate = fake.gated(["One "], ["two."])
    llm.plan(script)
    traced.ask(QUESTION, headers=headers, on_event=lambda _, event: event.name == "token")
    root = check_tree(whole_trace(collector.sink, trace))
    gate.open()
    assert root.attributes["ragline.outcome"] == "cancelled" and not root.error


def test_other_forms_have_their_routes(traced, collector):
    trace, _, headers = new_context()
    body = {"model": "ragline", "messages": [{"role": "user", "content": QUESTION}]}
    assert traced.post("/v1/chat/completions", body, headers=headers).status == 200
    root = check_tree(whole_trace(collector.sink, trace))
    assert root.attributes["http.route"] == "/v1/chat/completions"
    trace, _, headers = new_context()
    assert traced.post("/v1/search", {"question": QUESTION}, headers=headers).status == 200
    spans = whole_trace(collector.sink, trace)
    assert check_tree(spans).name == "POST /v1/search"
    assert not any(span.name == "generation" for span in spans)


def test_a_rewritten_question_is_a_call_of_its_own(make_cluster, collector, guide, llm):
    cluster = make_cluster(**{"gateway.rewrite": "llm", "otlp.endpoint": collector.endpoint, **SOON})
    cluster.start(guide)
    trace, _, headers = new_context()
    llm.plan(fake.whole("How fast does the Osprey valve close?"))
    turns = [{"role": "user", "content": "Tell me of valves."}, {"role": "assistant", "content": "Many."}]
    cluster.ask({"question": "And how fast is it?", "messages": turns}, headers=headers)
    spans = whole_trace(collector.sink, trace)
    root = check_tree(spans)
    rewrite = one(spans, "chat fake-llm", **{"ragline.stage": "rewrite"})
    assert rewrite.parent == root.id and rewrite.attributes["server.port"] == llm.port
    assert read(llm.asked()[0]) == (trace, rewrite.id, "01")


def test_what_came_from_a_cache_is_said(make_cluster, sink, guide, embed):
    kept = {"cache.share": True, "cache.embeddings_mb": 1}
    cluster = make_cluster(**{"otlp.endpoint": sink.endpoint, **SOON, **kept}).start(guide)
    seen = []
    for _ in range(2):
        trace, _, headers = new_context()
        cluster.ask(QUESTION, headers=headers)
        spans = whole_trace(sink, trace)
        check_tree(spans)
        seen.append(one(spans, "retrieval docs").attributes.get("ragline.cache"))
    assert seen == [None, "cache"]
    assert len(embed.requests) == 1


def test_a_share_of_the_traces(make_cluster, sink, guide, llm):
    cluster = make_cluster(**{"otlp.endpoint": sink.endpoint, "otlp.ratio": 0, **SOON})
    cluster.start(guide)
    cluster.ask(QUESTION)
    assert read(llm.asked()[-1])[2] == "00"
    trace, _, headers = new_context()
    cluster.ask(QUESTION, headers=headers)  # this client wants it
    whole_trace(sink, trace)
    assert {span.trace for span in sink.spans()} == {trace}


def test_where_nothing_is_exported_the_client_s_header_goes_on(make_cluster, guide, llm, embed):
    cluster = make_cluster().start(guide)
    trace, parent, headers = new_context()
    cluster.ask(QUESTION, headers=headers)
    assert read(llm.asked()[-1]) == read(embed.requests[-1]) == (trace, parent, "01")
    cluster.ask(QUESTION)
    assert read(llm.asked()[-1]) is None


# ---- collectors with troubles ---------------------------------------------------------------------------


def test_the_environment_of_opentelemetry(make_cluster, sink, guide):
    cluster = make_cluster()
    cluster.start_gateway(
        env={
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"{sink.endpoint}/tenant/",
            "OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=a%20b",
            "OTEL_SERVICE_NAME": "answers",
            "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
        },
        **SOON,
    )
    cluster.start_retriever(guide)
    cluster.start_generator()
    cluster.wait_ready()
    trace, _, headers = new_context()
    cluster.ask(QUESTION, headers=headers)
    root = check_tree(whole_trace(sink, trace))
    assert root.resource["service.name"] == "answers"
    assert root.resource["deployment.environment.name"] == "test"
    assert sink.last().path == "/tenant/v1/traces"
    assert sink.last().headers["x-tenant"] == "a b"
    assert sink.last().headers["content-type"] == "application/json"


def test_a_collector_that_comes_later_gets_what_waited(make_cluster, sink, guide):
    sink.down()
    cluster = make_cluster(**{"otlp.endpoint": sink.endpoint, "otlp.retry_ms": 20, **SOON})
    cluster.start(guide)
    contexts = [new_context() for _ in range(3)]
    for _, _, headers in contexts:
        assert cluster.ask(QUESTION, headers=headers).names()[-1] == "done"
    cluster.gateway.wait_log("traces: .* are tried again: .*refused")
    sink.up()
    for trace, _, _ in contexts:
        check_tree(whole_trace(sink, trace))
    until(lambda: counts(cluster)[0] == len(sink.spans()), "all are counted as exported")
    assert counts(cluster)[1:] == (0, 0)


BUSY = [Send(response(503, {"Retry-After": "3600"}, b"busy"))]
TROUBLES = {
    "silent": [Hang()],
    "busy": BUSY,
    "refusing": [Send(json_response(400, {"message": "no"}))],
    "a web page": [Send(response(200, {"Content-Type": "text/html"}, b"<html>hello</html>"))],
    "garbage": [Send(b"\x00\xff\x16\x03 what?\r\n\r\n" * 10)],
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_answers_do_not_mind_a_collector_in_trouble(make_cluster, sink, guide, trouble):
    sink.always(TROUBLES[trouble])
    given = {"otlp.endpoint": sink.endpoint, "otlp.retry_ms": 10, "otlp.queue": 60, "otlp.timeout_ms": 300}
    cluster = make_cluster(**given, **SOON, **{"otlp.give_up_ms": 1000})
    cluster.start(guide)
    for _ in range(12):
        stream = cluster.ask(QUESTION)
        assert stream.names()[-1] == "done"
    sink.wait_requests(1)

    def lost():
        cluster.ask(QUESTION)
        exported, dropped, failed = counts(cluster)
        assert exported == 0
        return dropped + failed

    until(lost, "spans are counted as lost")
    assert re.search(r"warn .*traces: \d+ spans", cluster.gateway.log())


def test_what_has_no_room_is_dropped_and_counted(make_cluster, sink, guide):
    sink.always(BUSY)
    cluster = make_cluster(**{"otlp.endpoint": sink.endpoint, "otlp.queue": 40, "otlp.give_up_ms": 86400000, **SOON})
    cluster.start(guide)
    for _ in range(8):
        assert cluster.ask(QUESTION).names()[-1] == "done"
    until(lambda: counts(cluster)[1] > 0, "spans are dropped")
    assert counts(cluster)[0] == 0
    assert "otlp.queue" in cluster.gateway.log()


# ---- the end ---------------------------------------------------------------------------------------------


def test_what_waits_is_sent_before_the_end(make_cluster, sink, guide):
    cluster = make_cluster(**{"otlp.endpoint": sink.endpoint, "otlp.delay_ms": 3600000})
    cluster.start(guide)
    trace, _, headers = new_context()
    cluster.ask(QUESTION, headers=headers)
    assert not sink.requests
    assert cluster.gateway.stop() == 0
    check_tree(sink.trace(trace))


@pytest.mark.parametrize("trouble", ["down", "silent", "busy"])
def test_a_collector_in_trouble_does_not_hold_up_the_end(make_cluster, sink, guide, trouble):
    if trouble == "down":
        sink.down()
    else:
        sink.always(TROUBLES[trouble])
    cluster = make_cluster(**{"otlp.endpoint": sink.endpoint, "otlp.delay_ms": 3600000, "gateway.grace_ms": 60000})
    cluster.start(guide)
    cluster.ask(QUESTION)
    began = time.monotonic()
    assert cluster.gateway.stop() == 0
    assert time.monotonic() - began < 10
    assert "spans" in cluster.gateway.log()


def test_a_wrong_endpoint_is_named(make_cluster):
    cluster = make_cluster(**{"otlp.endpoint": "localhost:4318"})
    gateway = cluster.start_gateway(wait=False)
    gateway.expect_exit = None
    assert gateway.wait() != 0
    assert 'otlp.endpoint is "localhost:4318": it must begin with http://' in gateway.log()


# ---- trace files ------------------------------------------------------------------------------------------


def chrome(cluster, path):
    """The events of a trace file: each on its track (process, name), none overlapping another."""
    events = cluster.get(path).json()["traceEvents"]
    names = {}
    for event in events:
        if event["ph"] == "M" and event["name"] in ("process_name", "thread_name"):
            key = (event["pid"], event["tid"] if event["name"] == "thread_name" else None)
            assert key not in names
            names[key] = event["args"]["name"]
    tracks, lanes = {}, {}
    for event in events:
        if event["ph"] != "X":
            assert event["ph"] == "M"
            continue
        place = (names[event["pid"], None], names[event["pid"], event["tid"]])
        tracks.setdefault(place, []).append(event)
        lanes.setdefault((event["pid"], event["tid"]), []).append((event["ts"], event["ts"] + event["dur"]))
    for lane in lanes.values():
        lane.sort()
        assert all(before[1] <= after[0] for before, after in zip(lane, lane[1:]))
    return tracks


def test_one_answer_or_a_window_of_time_as_a_trace_file(make_cluster, guide):
    cluster = make_cluster().start(guide)
    streams = []
    for at in range(3):
        if at == 2:
            since = time.time()
        streams.append(cluster.ask(QUESTION))
    answers = cluster.get("/v1/traces").json()
    gateway, newest = answers["gateway"], answers["traces"][0]
    tracks = chrome(cluster, f"/v1/traces/{newest['id']}?format=chrome")
    (answer,) = tracks[gateway, "answer"]
    assert answer["args"]["trace_id"] == newest["trace_id"]
    assert abs(answer["dur"] / 1000 - newest["timings"]["total_ms"]) < 0.01
    states = [state["state"] for state in newest["timings"]["states"]]
    assert all((gateway, state) in tracks for state in states)
    stages = {stage for process, stage in tracks if process != gateway}
    assert {"search", "search_work", "prompt", "prefill", "tokens"} <= stages
    every = chrome(cluster, "/v1/traces?format=chrome")
    assert len(every[gateway, "answer"]) == 3
    assert len(chrome(cluster, f"/v1/traces?format=chrome&since={since}")[gateway, "answer"]) == 1
    wrong = cluster.get("/v1/traces?format=xml")
    assert wrong.status == 400 and "chrome" in wrong.error["message"]
