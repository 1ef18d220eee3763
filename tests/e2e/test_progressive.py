"""Passages are shown before the slowest source has answered; a quotation, before the model has."""

import itertools
import json
import threading

import pytest

from fakes import embed as fake_embed
from fakes import llm as fake
from harness.wait import until

pytestmark = pytest.mark.sanitized

SETTINGS = {"cache.share": True, "cache.passages_mb": 64, "gateway.progressive_ms": 20, "gateway.soft_ms": 20000, "gateway.hard_ms": 30000, "embed.timeout_ms": 20000}
AWAITED = ["docs/0/dense", "docs/1/dense"]
_count = itertools.count()


def fresh(question="What pressure does the Kestrel pump run at, {}?"):
    """Words that no cache has."""
    return question.format(f"case {next(_count)}")


@pytest.fixture
def slow(embed):
    """Questions are embedded when this gate opens; the lexical sources have answered long before."""
    gate = fake.Gate()
    embed.always(lambda recorded: [gate, *fake_embed.of_dimension(embed.dimension)(recorded)])
    yield gate
    gate.open()


class Asked:
    """A question that is asked beside the test."""

    def __init__(self, cluster, question, **fields):
        self.events, self.stream = [], None

        def run():
            self.stream = cluster.ask({"question": question, **fields}, on_event=lambda _, event: self.events.append(event))

        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()

    def wait(self, name):
        until(lambda: any(event.name == name for event in self.events), f"{name} in {[e.name for e in self.events]}")
        return next(event for event in self.events if event.name == name)

    def join(self):
        self.thread.join(30)
        assert not self.thread.is_alive(), [event.name for event in self.events]
        return self.stream


# ---- passages so far -------------------------------------------------------------------------------------------


def test_what_the_first_sources_found_is_shown_while_the_others_are_awaited(cluster, slow):
    before = cluster.metrics()["ragline_progressive_total"]
    asked = Asked(cluster, fresh(), k=3)
    found = asked.wait("found").data
    assert found["final"] is False
    assert found["coverage"] == {"answered": 2, "of": 4, "missing": []}
    assert sorted(found["awaited"]) == AWAITED
    assert found["message"] == f"{len(found['passages'])} passages from 2 of 4 sources so far"
    assert "42 bar" in found["passages"][0]["text"]
    assert [p["n"] for p in found["passages"]] == [1, 2, 3]
    assert all(p["kinds"] == ["lexical"] for p in found["passages"])
    assert not [event for event in asked.events if event.name in ("sources", "token")]
    slow.open()
    stream = asked.join()
    names = stream.names()
    assert names[:4] == ["status", "found", "sources", "token"] or names[:3] == ["status", "found", "sources"], names
    assert [int(event.id) for event in stream.events] == list(range(1, len(names) + 1))
    sources = stream.one("sources").data
    assert "final" not in sources and "awaited" not in sources
    assert sources["coverage"] == {"answered": 4, "of": 4, "missing": []}
    timings = stream.one("timings").data
    assert timings["found_times"] == len(stream.of("found")) == 1
    assert 20 <= timings["found_ms"] < timings["sources_ms"]
    assert cluster.metrics()["ragline_progressive_total"] == before + 1


def test_what_is_in_time_comes_once(make_cluster, guide, llm, embed):
    one = make_cluster(**{**SETTINGS, "gateway.progressive_ms": 20000})
    one.start(guide)
    stream = one.ask(fresh())
    assert stream.complete and not stream.of("found")
    assert "found_ms" not in stream.one("timings").data


def test_it_can_be_off(make_cluster, guide, llm, embed):
    one = make_cluster(**{**SETTINGS, "gateway.progressive_ms": 0})
    one.start(guide)
    embed.always(fake_embed.slow(0.5, embed.dimension))
    assert not one.ask(fresh()).of("found")
    assert one.metrics()["ragline_progressive_total"] == 0


def test_numbers_of_citations_are_those_of_the_final_order(cluster, slow, llm, embed):
    def close(vectors):
        return [fake_embed.embed("Osprey valve closes seconds", embed.dimension)] * len(vectors)

    def script(recorded):
        body = fake_embed.body_of(recorded, embed.dimension, close)
        return [slow, fake_embed.Send(fake_embed.json_response(200, body))]

    embed.always(script)
    llm.plan(fake.stream(["The Osprey valve closes within 9 seconds when the power fails. ", "So it is."]))
    asked = Asked(cluster, fresh(), weights={"dense": 1, "lexical": 0.001})
    assert "Kestrel" in asked.wait("found").data["passages"][0]["text"]
    slow.open()
    stream = asked.join()
    assert "Osprey" in stream.passages[0]["text"], "the order has changed"
    cited = stream.cites[0]["cite"]
    assert "9 seconds" in stream.passages[cited - 1]["text"]
    assert {c["passage"] for c in stream.one("done").data["citations"]} <= set(range(1, len(stream.passages) + 1))


def test_who_waits_for_anothers_retrieval_sees_it_too(cluster, slow):
    question = fresh()
    first = Asked(cluster, question)
    first.wait("found")
    second = Asked(cluster, question)
    found = second.wait("found").data
    assert sorted(found["awaited"]) == AWAITED and "42 bar" in found["passages"][0]["text"]
    slow.open()
    assert first.join().complete
    stream = second.join()
    assert stream.one("timings").data["retrieval"] == "shared"
    assert stream.one("sources").data["coverage"]["answered"] == 4


def test_a_question_that_waits_for_its_draft_sees_what_that_has_found(cluster, slow):
    question = fresh()
    thread = threading.Thread(target=cluster.post, args=("/v1/draft", {"question": question, "draft": "d1"}), daemon=True)
    thread.start()
    until(lambda: cluster.metrics()['ragline_questions_by_state{state="searching"}'] == 1, "the draft searches")
    asked = Asked(cluster, question, draft="d1")
    assert asked.wait("found").data["passages"]
    slow.open()
    assert asked.join().one("timings").data["retrieval"] == "shared"
    thread.join(20)


def test_a_client_that_comes_back_gets_them_in_their_place(cluster, slow):
    with cluster.connect() as connection:
        connection.request("POST", "/v1/ask", {"question": fresh(), "resumable": True})
        events = []
        for event in connection.events(connection.head()):
            events.append(event)
            if event.name == "found":
                break
    slow.open()
    answer_id = events[0].data["id"]

    def come_back(seen):
        with cluster.connect() as connection:
            connection.request("GET", f"/v1/answers/{answer_id}/events", headers={"Last-Event-ID": str(seen)})
            head = connection.head()
            assert head.status == 200
            return list(connection.events(head))

    rest = come_back(int(events[-1].id))
    names = [event.name for event in rest]
    assert "found" not in names and names.count("sources") == 1 and names[-1] == "done"
    again = come_back(0)
    assert [event.text for event in again] == [event.text for event in events + rest]
    assert [int(event.id) for event in again] == list(range(1, len(again) + 1))


def test_who_takes_no_stream_is_not_told(cluster, slow):
    answers = []
    body = {"question": fresh(), "stream": False}
    thread = threading.Thread(target=lambda: answers.append(cluster.post("/v1/ask", body)), daemon=True)
    thread.start()
    until(lambda: cluster.metrics()['ragline_questions_by_state{state="searching"}'] == 1, "it searches")
    slow.open()
    thread.join(20)
    answer = answers[0].json()
    assert answers[0].status == 200 and "found_ms" not in answer["timings"] and "awaited" not in answer


def chunks_of(cluster, body):
    with cluster.connect() as connection:
        connection.request("POST", "/v1/chat/completions", body)
        head = connection.head()
        assert head.status == 200
        for event in connection.events(head):
            if event.text != "[DONE]":
                yield json.loads(event.text)


def content_of(chunks):
    return "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"])


def test_openai_clients_see_it_where_they_ask_for_progress(cluster, slow, llm):
    body = {"model": "ragline", "stream": True, "messages": [{"role": "user", "content": fresh()}]}
    got = []
    for chunk in chunks_of(cluster, {**body, "ragline": {"progress": True}}):
        got.append(chunk)
        if chunk.get("progress", {}).get("state") == "found":
            slow.open()
    found = [c for c in got if c.get("progress", {}).get("state") == "found"]
    assert len(found) == 1 and "42 bar" in found[0]["progress"]["passages"][0]["text"]
    assert sorted(found[0]["progress"]["awaited"]) == AWAITED
    assert found[0]["choices"][0]["delta"] == {} and "citations" not in found[0]
    assert len([c for c in got if "citations" in c]) == 1
    assert content_of(got) == "".join(fake.DEFAULT_TOKENS)


def test_other_openai_clients_do_not(cluster, embed, llm):
    embed.always(fake_embed.slow(0.3, embed.dimension))
    body = {"model": "ragline", "stream": True, "messages": [{"role": "user", "content": fresh()}]}
    got = list(chunks_of(cluster, body))
    assert content_of(got) == "".join(fake.DEFAULT_TOKENS)
    assert not any("progress" in c for c in got)


# ---- a quotation -----------------------------------------------------------------------------------------------


def test_a_quotation_comes_while_the_model_reads(cluster, llm):
    before = cluster.metrics()["ragline_quick_answers_total"]
    gate = fake.Gate()
    llm.plan([gate, *fake.stream(["Forty-two ", "bar."])])
    asked = Asked(cluster, fresh(), quick_answer=True)
    quick = asked.wait("quick_answer").data
    assert "42 bar" in quick["text"]
    assert not [event for event in asked.events if event.name == "token"]
    gate.open()
    stream = asked.join()
    assert stream.names().index("sources") < stream.names().index("quick_answer")
    passage = stream.passages[quick["passage"] - 1]["text"]
    assert " ".join(quick["text"].split())[:40] in " ".join(passage.split())
    assert 0 < quick["score"] <= 1
    assert stream.text == "Forty-two bar.", "it is no part of the answer"
    timings = stream.one("timings").data
    assert timings["sources_ms"] <= timings["quick_answer_ms"] < timings["first_token_ms"]
    assert cluster.metrics()["ragline_quick_answers_total"] == before + 1


def test_only_who_wants_one_gets_it(make_cluster, cluster, guide, llm, embed):
    assert not cluster.ask(fresh()).of("quick_answer")
    one = make_cluster(**SETTINGS, **{"gateway.quick_answer": True})
    one.start(guide)
    assert one.ask(fresh()).one("quick_answer")
    assert not one.ask({"question": fresh(), "quick_answer": False}).of("quick_answer")
    body = {"model": "ragline", "stream": True, "messages": [{"role": "user", "content": fresh()}]}
    assert not any("quick_answer" in chunk for chunk in chunks_of(one, body)), "OpenAI's clients ask themselves"


def test_nothing_is_quoted_that_has_nothing_to_do_with_it(cluster):
    stream = cluster.ask({"question": f"Zebra quagga okapi {next(_count)}?", "quick_answer": True})
    assert stream.complete and not stream.of("quick_answer")


def test_openai_clients_may_ask_for_one(cluster, llm):
    messages = [{"role": "user", "content": fresh()}]
    body = {"model": "ragline", "stream": True, "messages": messages, "ragline": {"quick_answer": True}}
    got = list(chunks_of(cluster, body))
    quick = [c for c in got if "quick_answer" in c]
    assert len(quick) == 1 and "42 bar" in quick[0]["quick_answer"]["text"] and quick[0]["choices"][0]["delta"] == {}
    assert content_of(got) == "".join(fake.DEFAULT_TOKENS)
    whole = cluster.post("/v1/chat/completions", {**body, "stream": False}).json()
    assert whole["choices"][0]["message"]["content"] == "".join(fake.DEFAULT_TOKENS)
    assert "quick_answer" not in whole


def test_a_generator_without_a_model_needs_none(make_cluster, guide, embed):
    one = make_cluster(llm=None)
    one.start(guide)
    stream = one.ask({"question": fresh(), "quick_answer": True})
    assert stream.one("done").data["upstream"] == "extractive"
    assert "42 bar" in stream.text and not stream.of("quick_answer")


def test_an_answer_that_is_continued_goes_on_from_the_models_words_alone(make_cluster, guide, llm, embed):
    one = make_cluster(**SETTINGS)
    one.start_gateway()
    one.start_retriever(guide)
    first = one.start_generator()
    one.wait_workers(5)
    script, _gate = fake.gated(["Forty-two "], ["never."])
    llm.plan(script)
    asked = Asked(one, fresh(), quick_answer=True, continuation=True)
    quick = asked.wait("quick_answer").data["text"]
    asked.wait("token")
    one.start_generator()
    one.wait_workers(6)
    llm.plan(fake.stream(["bar."]))
    first.kill()
    stream = asked.join()
    assert stream.text == "Forty-two bar."
    assert len(stream.of("quick_answer")) == 1
    last = llm.asked()[-1].json["messages"][-1]
    assert last["role"] == "assistant" and "Forty-two" in last["content"] and quick not in last["content"]


def test_it_is_a_boolean(cluster):
    refused = cluster.post("/v1/ask", {"question": fresh(), "quick_answer": "yes"})
    assert refused.status == 400 and "quick_answer" in refused.error["message"]
    assert cluster.post("/v1/search", {"question": fresh(), "quick_answer": True}).status == 400


def test_who_searched_for_others_goes_away(cluster, slow):
    question = fresh()
    with cluster.connect() as first:
        first.request("POST", "/v1/ask", {"question": question})
        for event in first.events(first.head()):
            if event.name == "found":
                break
        second = Asked(cluster, question)
        second.wait("found")
    slow.open()
    stream = second.join()
    assert stream.complete and stream.one("sources").data["coverage"]["answered"] == 4
    assert "42 bar" in stream.passages[0]["text"]


def test_a_source_that_is_missing_is_not_awaited(make_cluster, guide, llm, embed):
    one = make_cluster(**SETTINGS)
    one.start_gateway()
    one.start_retriever(guide, **{"retriever.kinds": "lexical"})
    dense = one.start_retriever(guide, **{"retriever.kinds": "dense"})
    one.start_generator()
    one.wait_workers(5)
    gate = fake.Gate()
    embed.always(lambda recorded: [gate, *fake_embed.of_dimension(embed.dimension)(recorded)])
    one.start_retriever(guide, **{"retriever.kinds": "dense", "retriever.shards": 0})
    one.wait_workers(6)
    dense.kill()
    until(lambda: len(one.ready_workers()) == 4, "only shard 0 has dense retrieval")
    asked = Asked(one, fresh())
    found = asked.wait("found").data
    assert found["awaited"] == ["docs/0/dense"]
    assert [missing["source"] for missing in found["coverage"]["missing"]] == ["docs/1/dense"]
    assert found["coverage"]["answered"] == 2
    gate.open()
    assert asked.join().one("sources").data["coverage"]["answered"] == 3
