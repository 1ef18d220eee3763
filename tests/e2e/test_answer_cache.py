"""Answers that were given before, given again to who asks exactly the same: through every face, marked, and only where
nothing that an answer depends on has changed."""

import itertools
import signal
import threading

import pytest
import zmq

from fakes import embed as fake_embed
from fakes import llm as fake
from harness import http
from harness.cluster import build_index
from harness.process import run
from harness.wire import Peer, announcement, message, unpack
from harness.wait import until
from test_page import ask as ask_page
from test_page import browser, last, opened, wait_state  # noqa: F401
from test_security import bearer, line_of

SETTINGS = {
    "cache.answers_mb": 8,
    "cache.share": "true",
    "cache.embeddings_mb": 16,
    # what is late is not kept
    "gateway.soft_ms": 20000,
    "gateway.hard_ms": 30000,
    "embed.timeout_ms": 20000,
}
# the third sentence is cited by the gateway's own account, the first says its passage itself
TOKENS = ["The Kestrel pump ", "runs at a pressure ", "of 42 bar [1]. ", "That is — in short — ", "all."]
_number = itertools.count(1)


def fresh(text="What pressure does the Kestrel pump run at, asks number {}?"):
    """A question that no test has asked."""
    return text.format(next(_number))


@pytest.fixture(autouse=True, scope="module")
def _every_source_is_there(cluster):
    """What is incomplete is not kept."""
    cluster.wait_workers(7)


def from_cache(stream):
    return stream.one("timings").data.get("answer") == "cache"


def asked(cluster, body):
    """One answer to the end; its stream."""
    stream = cluster.ask(body if isinstance(body, dict) else {"question": body})
    assert stream.complete, stream.events
    return stream


def told(stream, names=("sources", "token", "done")):
    """The events of these names, but for the answer's own id."""
    rows = [(event.name, dict(event.data)) for event in stream.events if event.name in names]
    for _, data in rows:
        data.pop("id", None)
    return rows


# ---- the same again ---------------------------------------------------------------------------------------


def test_it_is_the_same_and_comes_at_once(cluster, llm, embed):
    llm.tokens = TOKENS
    question = fresh()
    first = asked(cluster, question)
    before, searched = len(llm.asked()), len(embed.requests)
    counted = cluster.metrics()
    again = asked(cluster, question)
    assert not from_cache(first) and from_cache(again)
    assert told(again) == told(first)
    assert [data["text"] for name, data in told(again, ("token",)) if data["text"]] == TOKENS
    assert again.one("done").data["citations"] and again.one("done").data["usage"]["completion_tokens"] == 8
    assert len(llm.asked()) == before and len(embed.requests) == searched
    timings = again.one("timings").data
    assert timings["retrieval"] == "answer" and timings["answer_age_ms"] > 0
    assert "prompt_tokens" not in timings and "prompt_hash" not in timings
    assert [state["state"] for state in timings["states"]] == ["received", "searching", "merging", "streaming"]
    assert [span["stage"] for span in timings["spans"]] == ["cache"]
    assert sum(step["ms"] for step in timings["critical_path"]) == pytest.approx(timings["first_token_ms"], abs=0.01)
    status = [event.data["state"] for event in again.events if event.name == "status"]
    assert status == ["searching", "answered"]
    after = cluster.metrics()

    def more(name):
        return after.get(name, 0) - counted.get(name, 0)

    assert more('ragline_answer_cache_requests_total{result="hit"}') == 1
    assert more('ragline_answer_cache_requests_total{result="miss"}') == 0
    assert more("ragline_answers_total") == 1
    assert more("ragline_tokens_total") == 0
    assert more('ragline_prompt_tokens_total{model="fake-llm"}') == 0
    assert after['ragline_cache_bytes{cache="answers"}'] > 0
    # 0.1 ms when last measured; the machine may be busy with something else
    assert min(asked(cluster, question).one("timings").data["first_token_ms"] for _ in range(5)) < 5


def chat(cluster, question, **more):
    body = {"model": "ragline", "messages": [{"role": "user", "content": question}], **more}
    return cluster.post("/v1/chat/completions", body)


def chunks_of(answer):
    lines = [line[6:] for line in answer.body.decode().split("\n") if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    return [http.json.loads(line) for line in lines[:-1]]


def content_of(answer):
    return [
        choice["delta"]["content"]
        for chunk in chunks_of(answer)
        for choice in chunk["choices"]
        if choice["delta"].get("content")
    ]


def test_through_every_face(cluster, llm):
    llm.tokens = TOKENS
    question, wants = fresh(), {"ragline": {"timings": True, "inline_citations": True}}
    first = asked(cluster, question)
    once = {
        "json": cluster.post("/v1/ask", {"question": question, "stream": False, "fresh": True}).json(),
        "chat": chat(cluster, question, stream=True, **{"ragline": {**wants["ragline"], "fresh": True}}),
        "whole": chat(cluster, question, **{"ragline": {**wants["ragline"], "fresh": True}}).json(),
    }
    written = len(llm.asked())
    answer = cluster.post("/v1/ask", {"question": question, "stream": False}).json()
    for field in ("answer", "passages", "citations", "coverage", "usage", "model", "upstream", "finish_reason"):
        assert answer[field] == once["json"][field], field
    assert answer["timings"]["answer"] == "cache"

    again = chat(cluster, question, stream=True, stream_options={"include_usage": True}, **wants)
    assert content_of(again) == content_of(once["chat"])
    assert "".join(content_of(again)).count("[1]") >= 1
    assert any(chunk.get("citations") for chunk in chunks_of(again))
    assert chunks_of(again)[-1]["usage"] == first.one("done").data["usage"]
    assert chunks_of(again)[-2]["timings"]["answer"] == "cache"

    whole = chat(cluster, question, **wants).json()
    for field in ("choices", "citations", "usage", "coverage"):
        assert whole[field] == once["whole"][field], field
    assert whole["timings"]["answer"] == "cache"

    resumable = asked(cluster, {"question": question, "resumable": True})
    assert from_cache(resumable) and told(resumable) == told(first)
    answer_id = resumable.events[0].data["id"]
    kept = cluster.get(f"/v1/answers/{answer_id}/events").body.decode()
    assert kept.count("event: token") == len(told(first, ("token",))) and "event: done" in kept
    assert len(llm.asked()) == written


@pytest.mark.parametrize(
    "fields",
    [
        {"k": 3},
        {"kinds": ["lexical"]},
        {"weights": {"dense": 2}},
        {"collections": ["docs", "cooking"]},
        {"filter": {"field": "kind", "exists": True}},
        {"messages": [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": "Yes?"}]},
        {"temperature": 0.5},
        {"seed": 1},
        {"stop": "bar"},
        {"max_tokens": 100},
        {"target_first_token_ms": 60000},
    ],
    ids=str,
)
def test_what_is_asked_otherwise_is_written(cluster, llm, fields):
    question = fresh()
    asked(cluster, question)
    assert not from_cache(asked(cluster, {"question": question, **fields}))
    assert from_cache(asked(cluster, {"question": question, **fields}))
    assert from_cache(asked(cluster, question))


def test_another_spelling_is_another_question(cluster, llm):
    question = fresh()
    asked(cluster, question)
    for other in (question.upper(), question + " ", question.replace(" ", "  ")):
        stream = asked(cluster, other)
        assert not from_cache(stream)
    assert stream.one("timings").data["retrieval"] == "cache"  # its passages are the same


def test_the_limits_of_time_make_no_other_question(cluster, llm):
    question = fresh()
    asked(cluster, question)
    assert from_cache(asked(cluster, {"question": question, "timeout_ms": 30000, "continuation": True, "require": "all"}))


def test_fresh(cluster, llm):
    question = fresh()
    asked(cluster, question)
    llm.tokens = ["Something ", "else."]
    anew = asked(cluster, {"question": question, "fresh": True})
    assert not from_cache(anew) and anew.text == "Something else."
    assert asked(cluster, question).text == "Something else."  # the newest is kept
    assert chat(cluster, question, ragline={"fresh": "yes"}).status == 400


def test_a_drafted_question_has_its_answer(cluster, llm):
    question = fresh()
    asked(cluster, question)
    body = {"question": question, "draft": fresh("session-{}")}
    assert cluster.post("/v1/draft", body).status == 200
    used = cluster.metrics()['ragline_drafts_total{outcome="used"}']
    assert from_cache(asked(cluster, body))
    assert cluster.metrics()['ragline_drafts_total{outcome="used"}'] == used + 1
    # an answer from what a draft found is kept as well
    body = {"question": fresh(), "draft": fresh("session-{}")}
    cluster.post("/v1/draft", body)
    first = asked(cluster, body)
    assert first.one("timings").data["retrieval"] == "draft"
    assert from_cache(asked(cluster, body["question"]))


@pytest.mark.browser
def test_the_page_says_so_and_can_have_it_written_anew(browser, cluster, llm):  # noqa: F811
    question = fresh()
    with opened(browser, cluster.url) as page:
        page.wait_for_selector("#about:not(:empty)")  # it knows which collections there are
        ask_page(page, question)
        wait_state(page, "done")
        assert "Answered before" not in last(page).inner_text()
    written = len(llm.asked())
    with opened(browser, cluster.url) as page:
        page.wait_for_selector("#about:not(:empty)")
        ask_page(page, question)
        wait_state(page, "done")
        assert "Answered before" in last(page).inner_text()
        assert len(llm.asked()) == written
        llm.tokens = ["Written ", "anew."]
        last(page).get_by_role("button", name="Write it anew").click()
        until(lambda: "Written anew." in last(page).inner_text(), "the new answer")
        wait_state(page, "done")
        assert "Answered before" not in last(page).inner_text()


def test_the_terminal_says_so(cluster, llm):
    question = fresh()
    asked(cluster, question)
    done = run("ragline-ask", ["--ask-url", cluster.url, question], cluster.folder)
    assert done.returncode == 0 and "answered before" in done.stderr, done.stderr
    assert "".join(fake.DEFAULT_TOKENS) in done.stdout


# ---- what is not kept ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "script",
    [fake.stream(TOKENS, finish="length"), fake.stream(TOKENS, finish="content_filter"), fake.cut(TOKENS)],
    ids=["length", "content_filter", "cut"],
)
def test_what_did_not_end_by_itself(cluster, llm, script):
    question = fresh()
    llm.plan(script)
    cluster.ask({"question": question})
    assert not from_cache(asked(cluster, question))
    assert from_cache(asked(cluster, question))


def test_what_has_not_all_sources(cluster, llm, embed):
    question = fresh()
    embed.always(fake_embed.of_dimension(7))
    assert asked(cluster, question).one("sources").data["coverage"]["answered"] == 2
    embed.reset()
    assert not from_cache(asked(cluster, question))


def test_one_whose_client_went_away(cluster, llm):
    question = fresh()
    script, gate = fake.gated(TOKENS[:2], TOKENS[2:])
    llm.plan(script)
    with cluster.connect() as connection:
        connection.request("POST", "/v1/ask", {"question": question})
        head = connection.head()
        next(event for event in connection.events(head) if event.name == "token")
    until(lambda: cluster.metrics()["ragline_questions_in_flight"] == 0, "it is given up")
    gate.open()
    assert not from_cache(asked(cluster, question))


def test_one_that_another_generator_continued(make_cluster, guide, llm):
    one = make_cluster(**SETTINGS)
    one.start(guide, generators=2)
    one.wait_workers(6)
    question = fresh()
    script, gate = fake.gated(TOKENS[:2], TOKENS[2:])
    llm.plan(script)
    llm.plan(fake.stream(TOKENS[2:]))
    streams = []
    body = {"question": question, "continuation": True}
    thread = threading.Thread(target=lambda: streams.append(one.ask(body)), daemon=True)
    thread.start()
    busy = until(lambda: [w for w in one.workers() if w["kind"] == "generator" and w["outstanding"]], "one writes")
    until(lambda: one.metrics()["ragline_tokens_total"] >= 2, "its first words")
    victim = next(p for p in one.processes if f" {busy[0]['worker']}:" in p.log() and "generator" in p.name)
    victim.kill()
    thread.join(30)
    gate.open()
    assert streams[0].complete and streams[0].one("timings").data["continuations"] == 1
    assert not from_cache(asked(one, body))


def test_one_that_a_substitute_wrote(make_cluster, guide, llm):
    one = make_cluster(**SETTINGS, **{"llm.fallback": "extractive"})
    one.start(guide)
    one.wait_workers(5)  # each source: what is incomplete is not kept
    question = fresh()
    llm.plan(fake.error(500))
    assert asked(one, question).one("done").data["upstream"] == "extractive"
    anew = asked(one, question)
    assert not from_cache(anew) and anew.one("done").data["upstream"] == "openai"
    assert from_cache(asked(one, question))


class PlayedRetriever:
    """One source that answers as told: `hits` are fields of its messages."""

    PASSAGE = {"id": 1, "doc": "d", "title": "Pumps", "text": "The pump runs at 42 bar.", "end": 24, "hash": 7, "score": 9.0}

    def __init__(self, cluster):
        self.peer = Peer()
        self.hub = self.peer.push(cluster.hub)
        self.tasks, self.endpoint = self.peer.pull()
        self.tasks.rcvtimeo = 50
        self.hits, self.over = {}, threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.over.is_set():
            self.hub.send(announcement(tasks=self.endpoint, period_ms=5000))
            try:
                tasks = unpack(self.tasks.recv())
            except zmq.Again:
                continue
            for name, fields in tasks:
                if name == "search":
                    said = {"generation": "g-000001", "bound": 20.0, **self.hits}
                    found = {"worker": "fake/0/lexical", "task": fields["task"], "hits": [self.PASSAGE]}
                    self.hub.send(message("hits", **found, **said))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join(10)
        self.peer.__exit__()


@pytest.mark.parametrize(
    "less",
    [{"effort_kind": "nprobe", "effort": 2, "effort_wanted": 16}, {"generation": "g-000002"}],
    ids=["less effort", "another generation"],
)
@pytest.mark.parametrize("drafted", [False, True])
def test_what_another_search_would_find_better(make_cluster, llm, less, drafted):
    one = make_cluster(**SETTINGS | {"embed.url": ""})
    one.start_gateway()
    one.start_generator()
    with PlayedRetriever(one) as retriever:
        until(lambda: one.get("/readyz").status == 200, "ready")
        question = fresh()

        def ask():
            body = {"question": question, **({"draft": fresh("session-{}")} if drafted else {})}
            if drafted:
                assert one.post("/v1/draft", body).status == 200
            return asked(one, body)

        retriever.hits = less
        assert ask().one("sources").data["coverage"] == {"answered": 1, "of": 1, "missing": []}
        assert not from_cache(ask())
        retriever.hits = {}
        assert not from_cache(ask())
        assert from_cache(ask())


def test_off_unless_wanted(make_cluster, guide, llm):
    one = make_cluster(**{**SETTINGS, "cache.answers_mb": 0})
    one.start(guide)
    one.wait_workers(5)
    question = fresh()
    assert not any(from_cache(asked(one, question)) for _ in range(2))
    assert len(llm.asked()) == 2
    assert one.metrics()['ragline_answer_cache_requests_total{result="miss"}'] == 0


def test_without_the_other_caches(make_cluster, guide, llm):
    one = make_cluster(**{**SETTINGS, "cache.share": "false", "cache.embeddings_mb": 0})
    one.start(guide)
    one.wait_workers(5)
    question = fresh()
    assert [from_cache(asked(one, question)) for _ in range(2)] == [False, True]


def test_a_question_close_to_another_keeps_no_answer(make_cluster, guide, llm):
    one = make_cluster(**SETTINGS, **{"cache.semantic": 0.98})
    one.start(guide)
    one.wait_workers(5)
    asked(one, "What pressure does the Kestrel pump run at?")
    near = "At what pressure does the Kestrel pump run?"
    assert asked(one, near).one("timings").data["retrieval"] == "semantic"
    assert not from_cache(asked(one, near))


# ---- who may see what -----------------------------------------------------------------------------------------


def test_who_may_see_other_things_gets_none_of_it(make_cluster, guide, cooking, tmp_path, llm):
    keys = tmp_path / "keys"
    lines = [
        line_of("all", "all-key"),
        line_of("docs", "docs-key", "collections=docs"),
        line_of("also", "also-key", "collections=docs"),
        line_of("cook", "cook-key", "collections=cooking"),
    ]
    keys.write_text("\n".join(lines) + "\n")
    one = make_cluster(**SETTINGS, **{"gateway.keys_file": keys})
    one.start_gateway()
    one.start_retriever(guide)
    one.start_retriever(cooking)
    one.start_generator()
    question = fresh()

    def ask(key, **fields):
        return one.ask({"question": question, **fields}, headers=bearer(key))

    until(lambda: one.get("/readyz").status == 200, "ready")
    both = {"question": "x", "collections": ["docs", "cooking"]}

    def all_are_there():
        answer = one.post("/v1/search", both, bearer("all-key"))
        return answer.status == 200 and answer.json()["coverage"]["answered"] == 6

    until(all_are_there, "every source of both answers")
    assert not from_cache(ask("all-key", collection="docs"))
    assert not from_cache(ask("docs-key", collection="docs"))  # the same collection, other rights
    assert from_cache(ask("docs-key", collection="docs"))
    assert from_cache(ask("also-key", collection="docs"))  # the same rights
    assert not from_cache(ask("cook-key", collection="cooking"))
    again = ask("cook-key", collection="cooking")
    assert from_cache(again)
    assert {passage["collection"] for passage in again.one("sources").data["passages"]} == {"cooking"}
    assert not from_cache(ask("all-key", collection="cooking"))
    hidden = one.post("/v1/ask", {"question": question, "collection": "docs"}, bearer("cook-key"))
    assert hidden.status == 403 and b"Kestrel" not in hidden.body


# ---- what changes ---------------------------------------------------------------------------------------------


def test_a_new_generation_is_answered_from(make_cluster, guide_documents, _embed, tmp_path, llm):
    folder = tmp_path / "index"
    build_index(folder, [guide_documents], _embed, "docs")
    one = make_cluster(**SETTINGS)
    one.start(folder)
    one.wait_workers(3)
    question = fresh()
    assert [from_cache(asked(one, question)) for _ in range(2)] == [False, True]
    before = {worker["generation"] for worker in one.workers() if worker["kind"] != "generator"}
    more = tmp_path / "more"
    more.mkdir()
    (more / "news.md").write_text(f"# News\n\n{question} It runs at nine hundred bar now.\n")
    build_index(folder, [guide_documents, more], _embed, "docs")
    until(
        lambda: not before & {w["generation"] for w in one.workers() if w["kind"] != "generator"}, "the new generation"
    )
    stream = asked(one, question)
    assert not from_cache(stream)
    assert any("nine hundred" in passage["text"] for passage in stream.one("sources").data["passages"])
    assert from_cache(asked(one, question))


TEMPLATE = "[passage]\n({n}) {text}\n[user]\n{passages}\nIn short: {question}\n"


@pytest.mark.parametrize("change", ["template", "params", "max_tokens", "model"])
def test_a_generator_that_asks_otherwise_writes_anew(make_cluster, guide, llm, tmp_path, change):
    template, config = tmp_path / "template", tmp_path / "generator.conf"
    template.write_text(TEMPLATE)
    lines = {
        "template": f"template = {template}",
        "params": 'params = {"temperature":0.1}',
        "max_tokens": "max_tokens = 100",
        "model": "model = fake-llm",
    }

    def configure():
        config.write_text("\n".join(["[llm]", *lines.values()]) + "\n")

    configure()
    one = make_cluster(**SETTINGS)
    one.start_gateway()
    one.start_retriever(guide)
    del one.settings["llm.model"]
    generator = one._start(
        "ragline-generator",
        {"cluster.gateways": one.hub, "llm.url": llm.url, "llm.prefill": "off", "llm.warm_ms": 0},
        args=["--config", str(config)],
    )
    one.wait_workers(5)
    question = fresh()
    assert [from_cache(asked(one, question)) for _ in range(2)] == [False, True]
    if change == "template":
        template.write_text(TEMPLATE.replace("In short", "At length"))
    lines |= {"params": 'params = {"temperature":0.9}'} if change == "params" else {}
    lines |= {"max_tokens": "max_tokens = 101"} if change == "max_tokens" else {}
    lines |= {"model": "model = other-llm"} if change == "model" else {}
    configure()
    generator.signal(signal.SIGHUP)
    until(lambda: not from_cache(asked(one, question)), "an answer with the new settings")
    assert from_cache(asked(one, question))


def test_a_gateway_that_reads_its_settings_again_forgets(make_cluster, guide, llm):
    one = make_cluster(**SETTINGS)
    one.start(guide)
    one.wait_workers(5)
    question = fresh()
    assert [from_cache(asked(one, question)) for _ in range(2)] == [False, True]
    one.gateway.signal(signal.SIGHUP)
    until(lambda: not from_cache(asked(one, question)), "it is written anew")


def test_an_old_one_is_written_anew(make_cluster, guide, llm):
    one = make_cluster(**SETTINGS, **{"cache.answers_age_ms": 1000})
    one.start(guide)
    one.wait_workers(5)
    question = fresh()
    first = asked(one, question)
    ages = []

    def look():
        stream = asked(one, question)
        if not from_cache(stream):
            return True
        ages.append(stream.one("timings").data["answer_age_ms"])
        return False

    until(look, "it is written anew")
    assert ages and max(ages) <= 1000 and first.text


# ---- bounds -----------------------------------------------------------------------------------------------------


def test_no_more_bytes_than_it_may_have(make_cluster, guide, llm):
    one = make_cluster(**SETTINGS | {"cache.answers_mb": 1})
    one.start(guide)
    one.wait_workers(5)
    llm.tokens = ["many words " * 1000] * 20  # 220 KB
    questions = [fresh() for _ in range(6)]
    for question in questions:
        asked(one, question)
        assert one.metrics()['ragline_cache_bytes{cache="answers"}'] <= 1 << 20
    assert from_cache(asked(one, questions[-1]))
    assert not from_cache(asked(one, questions[0]))
    llm.tokens = ["many words " * 10000] * 20  # more than there is room for
    large = fresh()
    assert not any(from_cache(asked(one, large)) for _ in range(2))


def test_a_client_that_reads_slowly_gets_all_of_it_and_holds_nobody_up(make_cluster, guide, llm):
    one = make_cluster(**SETTINGS, **{"gateway.client_buffer": 16384})
    one.start(guide)
    one.wait_workers(5)
    llm.tokens = ["many words " * 20] * 5000  # a megabyte, in 5,000 events
    question = fresh()
    first = asked(one, question)
    with one.connect(receive_buffer=4096) as slow:
        slow.request("POST", "/v1/ask", {"question": question})
        head = slow.head()
        events = slow.events(head)
        seen = [next(events)]
        while seen[-1].name != "token":
            seen.append(next(events))
        debug = one.get("/v1/debug").json()
        assert "streaming" in str(debug)  # it waits for its client
        llm.tokens = ["Short."]
        assert asked(one, fresh()).text == "Short."
        seen += list(events)
    text = "".join(event.data["text"] for event in seen if event.name == "token")
    assert text == first.text and seen[-1].name == "done"
    timings = next(event.data for event in seen if event.name == "timings")
    assert timings["answer"] == "cache"
