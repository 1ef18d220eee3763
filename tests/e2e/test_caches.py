"""Nothing twice: embeddings and passages from the cache, retrieval shared by those who ask the same,
drafts of a question that is being typed."""

import itertools
import signal
import threading

import pytest

from fakes import embed as fake_embed
from fakes import llm as fake
from harness.cluster import build_index, error_of
from harness.wait import until
from test_security import bearer, line_of

SETTINGS = {
    "cache.share": "true",
    "cache.embeddings_mb": 16,
    # what is late is not kept
    "gateway.soft_ms": 20000,
    "gateway.hard_ms": 30000,
    "embed.timeout_ms": 20000,
}
_number = itertools.count(1)


def fresh(text="What pressure does the Kestrel pump run at, asks number {}?"):
    """A question that no test has asked."""
    return text.format(next(_number))


def found(cluster, question, **fields):
    answer = cluster.search(question, **fields)
    return answer["timings"].get("retrieval"), [passage["id"] for passage in answer["passages"]]


def metric(cluster, line):
    for row in cluster.get("/metrics").body.decode().splitlines():
        if row.startswith(line + " "):
            return float(row.rsplit(" ", 1)[1])
    raise AssertionError(f"no {line} in /metrics")


# ---- the cache of passages -------------------------------------------------------------------------------


def test_a_question_that_comes_again_is_not_searched_again(cluster, embed):
    question = fresh()
    first, passages = found(cluster, question)
    asked = len(embed.requests)
    hits = metric(cluster, 'ragline_passage_cache_requests_total{result="hit"}')
    answer = cluster.search("  " + question.replace(" ", "\n ") + " ")
    assert first is None
    assert answer["timings"]["retrieval"] == "cache"
    assert [passage["id"] for passage in answer["passages"]] == passages
    assert answer["coverage"]["answered"] == answer["coverage"]["of"] == 4
    assert [span["stage"] for span in answer["timings"]["spans"]] == ["cache"]
    assert len(embed.requests) == asked
    assert metric(cluster, 'ragline_passage_cache_requests_total{result="hit"}') == hits + 1
    streamed = cluster.ask(question)
    assert streamed.one("timings").data["retrieval"] == "cache"
    assert streamed.complete and streamed.text
    stages = {span["stage"] for span in streamed.one("timings").data["spans"]}
    assert "cache" in stages and not stages & {"search", "embed"}


@pytest.mark.parametrize(
    "fields",
    [{"k": 3}, {"kinds": ["lexical"]}, {"weights": {"dense": 2}}, {"collections": ["docs", "cooking"]}],
    ids=str,
)
def test_what_is_asked_otherwise_is_searched(cluster, fields):
    question = fresh()
    found(cluster, question)
    assert found(cluster, question, **fields)[0] is None
    assert found(cluster, question, **fields)[0] == "cache"
    assert found(cluster, question)[0] == "cache"


def test_an_embedding_is_used_for_other_searches(cluster, embed):
    question = fresh()
    found(cluster, question)
    asked = len(embed.requests)
    answer = cluster.search(question, k=2)
    assert len(embed.requests) == asked
    how = [span["how"] for span in answer["timings"]["spans"] if span["stage"] == "embed"]
    assert how == ["cache"]


def test_what_is_incomplete_is_not_kept(cluster, embed):
    question = fresh()
    embed.always(fake_embed.of_dimension(7))
    answer = cluster.search(question)
    assert answer["coverage"]["answered"] == 2
    embed.reset()
    assert found(cluster, question)[0] is None


def test_a_new_generation_is_searched(make_cluster, work, guide_documents, _embed, tmp_path):
    folder = tmp_path / "index"
    build_index(folder, [guide_documents], _embed, "docs")
    one = make_cluster(**SETTINGS)
    one.start_gateway()
    one.start_retriever(folder)
    one.wait_workers(2)
    question = fresh()
    found(one, question)
    assert found(one, question)[0] == "cache"
    before = {worker["generation"] for worker in one.workers()}
    more = tmp_path / "more"
    more.mkdir()
    (more / "news.md").write_text(f"# News\n\n{question} It runs at nine hundred bar now.\n")
    build_index(folder, [guide_documents, more], _embed, "docs")
    until(lambda: not before & {worker["generation"] for worker in one.workers()}, "the new generation")
    how, passages = found(one, question)
    assert how is None
    assert any("nine hundred" in passage["text"] for passage in one.search(question)["passages"])


def test_off(make_cluster, guide, embed):
    one = make_cluster()  # the tests' own settings
    one.start_gateway()
    one.start_retriever(guide)
    one.wait_workers(4)
    question = fresh()
    assert [found(one, question)[0] for _ in range(2)] == [None, None]
    assert len([r for r in embed.requests if question in r.body.decode()]) == 2


# ---- in flight --------------------------------------------------------------------------------------------


class Asked:
    """Questions at the same time, each in a thread."""

    def __init__(self, cluster, question, times, **more):
        self.streams = [None] * times

        def run(at):
            self.streams[at] = cluster.ask(question, **more)

        self.threads = [threading.Thread(target=run, args=(at,), daemon=True) for at in range(times)]
        for thread in self.threads:
            thread.start()

    def join(self):
        for thread in self.threads:
            thread.join(30)
            assert not thread.is_alive()
        return self.streams


def at_work(cluster, count):
    until(lambda: metric(cluster, "ragline_questions_in_flight") >= count, f"{count} questions at work")


def test_those_who_ask_the_same_share_one_retrieval(cluster, embed):
    question = fresh()
    gate = threading.Event()
    embed.always(lambda recorded: (gate.wait(20), fake_embed.of_dimension(embed.dimension)(recorded))[1])
    asked = Asked(cluster, question, 6)
    at_work(cluster, 6)
    gate.set()
    streams = asked.join()
    how = sorted(str(stream.one("timings").data.get("retrieval")) for stream in streams)
    assert how == ["None"] + ["shared"] * 5
    assert len([r for r in embed.requests if question in r.body.decode()]) == 1
    assert len({stream.text for stream in streams}) == 1
    assert all(stream.complete and stream.text for stream in streams)


def test_the_one_that_searched_goes_away(cluster, embed):
    question = fresh()
    gate = threading.Event()
    embed.always(lambda recorded: (gate.wait(20), fake_embed.of_dimension(embed.dimension)(recorded))[1])
    with cluster.connect() as first:
        first.request("POST", "/v1/ask", {"question": question})
        at_work(cluster, 1)
        asked = Asked(cluster, question, 3)
        at_work(cluster, 4)
    until(lambda: metric(cluster, "ragline_questions_in_flight") == 3, "the first is gone")
    gate.set()
    how = sorted(str(stream.one("timings").data.get("retrieval")) for stream in asked.join())
    assert how == ["None", "shared", "shared"]


def test_those_who_waited_in_vain_do_not_wait_for_each_other(make_cluster, guide, embed):
    soft_ms = 500
    limits = {"gateway.soft_ms": soft_ms, "gateway.hard_ms": 20000, "embed.timeout_ms": 20000}
    one = make_cluster(**{**SETTINGS, **limits})
    one.start_gateway()
    one.start_retriever(guide)
    one.wait_workers(4)
    gate = threading.Event()
    embed.always(lambda recorded: (gate.wait(20), fake_embed.of_dimension(embed.dimension)(recorded))[1])
    question, answers = fresh(), []

    def ask():
        answers.append(one.search(question))

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    gate.set()
    assert [answer["coverage"]["answered"] for answer in answers] == [2] * 8  # by words only
    # the first one's time, then their own, all at once; one after the other would be eight times
    assert max(answer["timings"]["total_ms"] for answer in answers) < 4 * soft_ms


def test_one_embedding_for_different_searches(cluster, embed):
    question = fresh()
    gate = threading.Event()
    embed.always(lambda recorded: (gate.wait(20), fake_embed.of_dimension(embed.dimension)(recorded))[1])
    asked = [Asked(cluster, {"question": question, "k": k}, 1) for k in (1, 2, 3)]
    at_work(cluster, 3)
    gate.set()
    spans = [
        span["how"]
        for one in asked
        for span in one.join()[0].one("timings").data["spans"]
        if span["stage"] == "embed"
    ]
    assert sorted(spans) == ["server", "shared", "shared"]


# ---- questions close to each other -------------------------------------------------------------------------


def test_the_semantic_cache(make_cluster, guide):
    one = make_cluster(**SETTINGS, **{"cache.semantic": 0.98})
    one.start_gateway()
    one.start_retriever(guide)
    one.wait_workers(4)
    first = one.search("What pressure does the Kestrel pump run at?")
    near = one.search("At what pressure does the Kestrel pump run?")  # the same words: cosine 1
    far = one.search("How is the Kestrel pump primed?")
    assert first["timings"].get("retrieval") is None
    assert near["timings"]["retrieval"] == "semantic"
    assert near["passages"] == first["passages"]
    assert far["timings"].get("retrieval") is None
    assert one.search("pressure Kestrel pump run", k=2)["timings"].get("retrieval") is None


# ---- rights --------------------------------------------------------------------------------------------------


def test_who_may_see_other_things_learns_nothing(make_cluster, guide, cooking, tmp_path, embed):
    keys = tmp_path / "keys"
    lines = [
        line_of("all", "all-key"),
        line_of("docs", "docs-key", "collections=docs"),
        line_of("also", "also-key", "collections=docs"),
    ]
    keys.write_text("\n".join(lines) + "\n")
    one = make_cluster(**SETTINGS, **{"gateway.keys_file": keys, "gateway.collections": "docs"})
    one.start_gateway()
    one.start_retriever(guide)

    def known():
        return one.post("/v1/search", {"question": "pump"}, bearer("all-key")).status == 200

    until(known, "a search is answered")
    question = fresh()

    def ask(key, path="/v1/search", **fields):
        answer = one.post(path, {"question": question, **fields}, bearer(key))
        assert answer.status == 200, answer.body
        timings = answer.json()["timings"]
        assert ("cache;" in answer.headers["server-timing"]) == ("retrieval" in timings)
        return timings.get("retrieval"), [s.get("how") for s in timings["spans"] if s["stage"] == "embed"]

    assert ask("all-key") == (None, ["server"])
    assert ask("docs-key") == (None, ["server"])  # the same collection, other rights
    assert ask("docs-key")[0] == "cache"
    assert ask("also-key")[0] == "cache"  # the same rights
    question = fresh()
    assert ask("all-key", "/v1/draft", draft="one")[0] is None
    assert ask("docs-key", k=5)[1] == ["server"]


@pytest.mark.parametrize("owner", ["vllm", "llamacpp", None])
@pytest.mark.parametrize("prefill", ["auto", "off"])
def test_what_the_llm_has_read_for_one_is_not_used_for_who_may_see_other_things(make_cluster, guide, tmp_path, llm, owner, prefill):
    keys = tmp_path / "keys"
    alike = [line_of("docs", "docs-key", "collections=docs"), line_of("also", "also-key", "collections=docs")]
    keys.write_text("\n".join([line_of("all", "all-key"), *alike]) + "\n")
    llm.owner = owner
    one = make_cluster(**{"gateway.keys_file": keys, "gateway.collections": "docs", "llm.prefill": prefill})
    one.start_gateway()
    one.start_retriever(guide)
    one.start_generator()

    def fields(key):
        until(lambda: one.post("/v1/ask", {"question": "pump?", "stream": False}, bearer(key)).status == 200, "it is answered")
        body = llm.asked()[-1].json
        return {name: body[name] for name in ("cache_salt", "cache_prompt") if name in body}

    by_key = {key: fields(key) for key in ("all-key", "docs-key", "also-key")}
    if owner == "vllm":
        assert by_key["all-key"].keys() == {"cache_salt"}
        assert by_key["docs-key"] == by_key["also-key"] != by_key["all-key"]
    else:
        assert set(map(str, by_key.values())) == {str({"cache_prompt": False} if owner else {})}
    # all may see the same: one's reading may be another's
    keys.write_text("\n".join(alike) + "\n")
    one.gateway.signal(signal.SIGHUP)
    until(lambda: one.post("/v1/search", {"question": "pump?"}, bearer("all-key")).status == 401, "the keys are read again")
    assert fields("docs-key") == ({"cache_prompt": True} if (owner, prefill) == ("llamacpp", "auto") else {})


# ---- drafts ----------------------------------------------------------------------------------------------------


def draft(cluster, text, session, **fields):
    return cluster.post("/v1/draft", {"question": text, "draft": session, **fields})


def test_a_drafted_question_needs_no_retrieval(cluster, embed):
    question = fresh("How is pump {} of the Kestrel primed")
    session = fresh("session-{}")
    for words in (3, 5):
        assert draft(cluster, " ".join(question.split()[:words]), session).status == 200
    last = draft(cluster, question, session)
    assert last.json()["state"] == "found" and last.json()["passages"] > 0
    again = draft(cluster, question + " ", session)
    assert again.json()["settled"] is True
    asked = len(embed.requests)
    stream = cluster.ask({"question": question.upper() + "?", "draft": session})
    timings = stream.one("timings").data
    assert timings["retrieval"] == "draft"
    assert len(embed.requests) == asked
    assert stream.complete and stream.text


def test_a_draft_of_something_else_costs_nothing_but_the_work(cluster):
    session = fresh("session-{}")
    draft(cluster, fresh("How is the Kestrel pump {} primed"), session)
    stream = cluster.ask({"question": fresh(), "draft": session})
    assert stream.one("timings").data.get("retrieval") is None
    assert stream.complete and stream.text


def gated(embed, gate):
    """An answer with vectors that waits for the gate, and holds up no other."""

    def script(recorded):
        body = fake_embed.body_of(recorded, embed.dimension)
        return [gate, fake_embed.Send(fake_embed.json_response(200, body))]

    return script


def test_a_later_draft_ends_the_one_before(cluster, embed):
    session = fresh("session-{}")
    gate = fake.Gate()
    embed.plan(gated(embed, gate))
    answers = []
    thread = threading.Thread(target=lambda: answers.append(draft(cluster, fresh(), session)), daemon=True)
    thread.start()
    at_work(cluster, 1)
    assert draft(cluster, fresh(), session).status == 200
    thread.join(20)
    gate.open()
    assert answers[0].status == 409
    assert error_of(answers[0])["code"] == "superseded"


def test_a_question_waits_for_its_draft(cluster, embed):
    question, session = fresh(), fresh("session-{}")
    gate = threading.Event()
    embed.always(lambda recorded: (gate.wait(20), fake_embed.of_dimension(embed.dimension)(recorded))[1])
    thread = threading.Thread(target=draft, args=(cluster, question, session), daemon=True)
    thread.start()
    at_work(cluster, 1)
    asked = Asked(cluster, {"question": question, "draft": session}, 1)
    at_work(cluster, 2)
    gate.set()
    timings = asked.join()[0].one("timings").data
    thread.join(20)
    assert timings["retrieval"] == "shared"
    assert len([r for r in embed.requests if question in r.body.decode()]) == 1


def test_drafts_can_be_off(make_cluster, guide):
    one = make_cluster(**SETTINGS, **{"gateway.drafts": 0})
    one.start_gateway()
    one.start_retriever(guide)
    one.wait_workers(4)
    answer = draft(one, fresh(), "one")
    assert answer.status == 202
    assert answer.json()["state"] == "skipped" and "gateway.drafts" in answer.json()["message"]


@pytest.mark.parametrize(
    "body, param",
    [
        ({"question": "pump"}, "draft"),
        ({"draft": "one"}, "question"),
        ({"question": "pump", "draft": ""}, "draft"),
        ({"question": "pump", "draft": 7}, "draft"),
        ({"question": "pump", "draft": "x" * 65}, "draft"),
        ({"question": "pump", "draft": "one", "stream": True}, "stream"),
    ],
    ids=str,
)
def test_drafts_that_are_none(cluster, body, param):
    answer = cluster.post("/v1/draft", body)
    assert answer.status == 400
    assert error_of(answer)["param"] == param


def test_the_embedding_server_is_connected_before_the_first_question(make_cluster, guide, embed):
    one = make_cluster(**SETTINGS, **{"embed.warm_ms": 200})
    one.start_gateway()
    one.start_retriever(guide)
    one.wait_workers(4)
    paths = [request.path for request in embed.wait_requests(2)]  # and again, while nobody asks
    assert set(paths) == {"/v1/models"}
    assert one.search(fresh())["coverage"]["answered"] == 4
