"""Collections in a distributed engine: a real Weaviate of three nodes on loopback. The tests of search, filters and
answers are those of a local index, asked of the engine; then what only the engine has: loading, and nodes that go."""

import concurrent.futures
import json
import threading
import time

import pytest

import test_ask
import test_filter
import test_search
from conftest import end_cluster, need, new_cluster
from harness import http
from harness import weaviate as engine
from harness.documents import COOKING, write
from harness.ports import free_port
from harness.process import Process, run
from harness.wait import until

WORDS = {"index.chunk_words": 40, "index.overlap_words": 8}


@pytest.fixture(scope="module")
def weaviate(work):
    need(engine.PROGRAM.exists(), "Weaviate")
    made = engine.Weaviate(work / "weaviate")
    yield made
    made.stop()


@pytest.fixture(scope="module")
def guide(work, weaviate, guide_documents, _embed):
    _embed.reset()
    weaviate.load([guide_documents], _embed, "docs", work, **WORDS)
    return "docs"


@pytest.fixture(scope="module")
def cooking(work, weaviate, _embed):
    _embed.reset()
    weaviate.load([write(work / "cooking-for-weaviate", COOKING)], _embed, "cooking", work)
    return "cooking"


@pytest.fixture(scope="module")
def books(work, weaviate, _embed):
    _embed.reset()
    path = work / "books.jsonl"
    path.write_text("".join(json.dumps(book) + "\n" for book in test_filter.BOOKS))
    weaviate.load([path], _embed, "books", work)
    return "books"


def engine_cluster(work, weaviate, llm, embed, name, **settings):
    one = new_cluster(work, name, kind=engine.EngineCluster, weaviate=weaviate, llm=llm, embed=embed)
    one.settings |= {"gateway.collections": "docs", "log.level": "debug", **settings}
    return one


def found_first(one, kind):
    return one.search("How often must the Kestrel pump be greased?", kinds=[kind])["passages"][0]["text"]


@pytest.fixture(scope="module")
def cluster(work, weaviate, _llm, _embed, guide, cooking):
    one = engine_cluster(work, weaviate, _llm, _embed, "test_weaviate")
    try:
        one.start(guide, cooking)
        one.wait_workers(5)  # both kinds of both collections, and the generator
        for kind in ("lexical", "dense"):  # a load ends when what was loaded is found
            assert "300 hours" in found_first(one, kind), kind
        yield one
    finally:
        end_cluster(one)


# ---- as a local index ----------------------------------------------------------------------------------------------

shop = test_filter.shop
small = test_filter.small

for _name in """
    test_the_passages_alone_as_json test_markup_and_scripts_of_html_are_no_text test_k_is_how_many_at_most
    test_one_kind_alone test_lexical_alone_asks_no_embedding test_words_are_stemmed test_a_weight_of_zero_silences_a_kind
    test_weights_change_the_order test_a_passage_that_both_kinds_find_comes_once_and_says_so
    test_several_collections_in_one_question test_a_collection_by_name test_an_unknown_collection_is_named
    test_a_question_without_a_known_word_is_answered_all_the_same test_no_syntax_breaks_a_search
    test_the_question_is_embedded_once_for_all_shards test_positions_lead_back_to_the_document
""".split():
    globals()[_name] = getattr(test_search, _name)

for _name in """
    test_a_filter_keeps_what_fulfils_it test_the_best_are_those_of_the_filtered test_nothing_kept_is_no_error
    test_an_answer_s_passages_are_filtered test_null_is_no_filter test_files_have_a_kind
    test_a_field_of_one_collection_keeps_nothing_of_the_other test_the_fields_are_told
    test_an_unknown_field_is_named_with_those_there_are
""".split():
    globals()[_name] = getattr(test_filter, _name)

for _name in """
    test_status_sources_tokens_timings_done_in_this_order test_sources_leave_before_the_llm_is_asked
    test_each_token_comes_when_the_llm_wrote_it
""".split():
    globals()[_name] = getattr(test_ask, _name)


# ---- filters that only few engines have trouble with ---------------------------------------------------------------


def test_strings_of_a_filter_stay_as_they_are(make_shop):
    values = ["a", "ab", " a", "a ", "A", "a*b", "a?b", "axb", 'q"\\', "ä", "😀x", "new\nline", "="]
    lines = [{"id": str(n), "text": f"heron word{n}", "value": value} for n, value in enumerate(values)]
    shop = make_shop("strings", lines)

    def found(**condition):
        answer = shop.search("heron", collection="strings", k=50, filter={"field": "value", **condition})
        return sorted(passage["meta"]["value"] for passage in answer["passages"])

    for value in values:
        assert found(eq=value) == [value]
    assert found(prefix="a") == sorted(v for v in values if v.startswith("a"))
    assert found(prefix="a*") == ["a*b"]
    assert found(gte="a", lt="ab") == sorted(v for v in values if "a" <= v < "ab")
    assert found(gt="a") == sorted(v for v in values if v.encode() > b"a")


def test_a_range_in_lists_is_refused_with_its_reason(shop):
    answer = shop.post(
        "/v1/search", {"question": "sockets", "collection": "books", "filter": {"field": "tags", "gte": "a", "lt": "b"}}
    )
    assert answer.status >= 400 and "tags" in answer.json()["error"]["message"]
    # one bound, or a prefix, is one condition
    answer = shop.search("sockets", collection="books", filter={"field": "tags", "prefix": "sock"})
    assert answer["passages"] and all("sockets" in p["meta"]["tags"] for p in answer["passages"])


@pytest.fixture
def make_shop(cluster, weaviate, work, _embed, tmp_path):
    """Loads JSON lines as a collection and serves it beside the others."""
    started = []

    def make(name, lines, **settings):
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        weaviate.load([path], _embed, name, tmp_path)
        before = len(cluster.ready_workers())
        started.append(cluster.start_retriever(name, **settings))
        cluster.wait_workers(before + 2)
        return cluster

    yield make
    for process in started:
        process.stop()


# ---- loading -------------------------------------------------------------------------------------------------------


def vectors(count, words="kestrel words"):
    """JSON lines with their vectors."""
    return [
        {"id": f"d{n}", "text": f"{words} {n}", "vector": [1.0 + n % 7, 2.0, n % 11, 0.5], "n": n} for n in range(count)
    ]


def write_lines(path, lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_the_same_load_twice_changes_nothing(weaviate, cluster, guide_documents, embed, work):
    before = weaviate.ids("docs")
    said = next(w["generation"] for w in cluster.ready_workers("lexical") if w["collection"] == "docs")
    done = weaviate.load([guide_documents], embed, "docs", work, **WORDS)
    assert weaviate.ids("docs") == before and len(set(before)) == len(before)
    assert embed.requests == [], "what was embedded is not embedded again"
    assert said in done.stdout and "0 passages of earlier loads removed" in done.stdout


def test_what_a_corpus_no_longer_has_is_removed(weaviate, tmp_path):
    lines = vectors(250)
    weaviate.load([write_lines(tmp_path / "a.jsonl", lines)], None, "shrinking", tmp_path)
    first = weaviate.ids("shrinking")
    done = weaviate.load([write_lines(tmp_path / "a.jsonl", lines[:40])], None, "shrinking", tmp_path)
    assert "210 passages of earlier loads removed" in done.stdout
    left = weaviate.ids("shrinking")
    assert len(left) == 40 and set(left) < set(first)


def test_a_load_that_was_killed_ends_like_an_undisturbed_one(weaviate, tmp_path):
    path = write_lines(tmp_path / "many.jsonl", vectors(900))
    weaviate.load([path], None, "whole", tmp_path)
    words = ["--to", weaviate.urls, "--index-collection", "broken", "--index-out", tmp_path / "broken"]
    words += ["--engine-batch", "10", "--engine-replicas", "3", "--index-requests", "1", path]
    killed = Process("ragline-index", words, tmp_path, expect_exit=None)
    count = "{Aggregate{Ragline_broken{meta{count}}}}"

    def some():
        found = weaviate.graphql(count)["Aggregate"]["Ragline_broken"][0]["meta"]["count"]
        return 50 <= found < 900 and found

    until(some, "the load is under way")
    killed.kill()
    weaviate.load([path], None, "broken", tmp_path)
    assert weaviate.ids("broken") == weaviate.ids("whole")


def test_a_class_of_somebody_else_is_left_alone(weaviate, tmp_path):
    made = http.call(weaviate.nodes[0].url, "POST", "/v1/schema", {"class": "Ragline_foreign", "vectorizer": "none"})
    assert made.status == 200, made.body
    path = write_lines(tmp_path / "x.jsonl", vectors(3))
    done = weaviate.load([path], None, "foreign", tmp_path, expect=3)
    assert "Ragline_foreign" in done.stderr and "another name" in done.stderr


def test_vectors_of_another_length_are_refused(weaviate, tmp_path):
    weaviate.load([write_lines(tmp_path / "a.jsonl", vectors(3))], None, "four", tmp_path)
    other = [line | {"vector": [1.0, 2.0]} for line in vectors(3)]
    done = weaviate.load([write_lines(tmp_path / "a.jsonl", other)], None, "four", tmp_path, expect=3)
    assert "4 dimensions" in done.stderr and "2" in done.stderr


def test_nobody_there_to_load_into(tmp_path):
    path = write_lines(tmp_path / "x.jsonl", vectors(3))
    words = ["--to", f"http://127.0.0.1:{free_port()}", "--index-collection", "x", "--index-out", tmp_path / "x"]
    done = run("ragline-index", [*words, "--index-retries", "1", path], tmp_path)
    assert done.returncode == 3 and "none of the 1 nodes answers" in done.stderr


# ---- the engine's own mixture --------------------------------------------------------------------------------------


def test_hybrid(cluster, weaviate, make_cluster_of):
    one = make_cluster_of(**{"engine.dense": "hybrid", "engine.alpha": 0.5, "retriever.kinds": "dense"})
    answer = one.search("What does an amber lamp mean?", kinds=["dense"], k=3)
    assert "amber" in answer["passages"][0]["text"]
    # no vector of the fake has anything to do with this word: only the words find it
    answer = one.search("amber", kinds=["dense"], k=1)
    assert "amber" in answer["passages"][0]["text"]


# ---- nodes that are slow, and gone ---------------------------------------------------------------------------------


@pytest.fixture
def make_cluster_of(work, weaviate, guide, llm, embed, request):
    made = []

    def make(**settings):
        one = engine_cluster(work, weaviate, llm, embed, request.node.name, **settings)
        made.append(one)
        one.start(guide)
        # the kinds of its one shard, and the generator: start() waits for one of the kinds
        one.wait_workers(3 - ("retriever.kinds" in settings))
        return one

    yield make
    for one in made:
        end_cluster(one)


def test_many_questions_are_under_way_in_one_process(make_cluster_of, weaviate):
    one = make_cluster_of(**{"retriever.threads": 1, "gateway.hard_ms": 20000, "gateway.soft_ms": 20000})
    answers = []
    ask = lambda: answers.append(one.search("amber lamp", kinds=["lexical"]))  # noqa: E731
    threads = [threading.Thread(target=ask) for _ in range(40)]
    for number in range(3):
        weaviate.pause(number)
    try:
        for thread in threads:
            thread.start()
        until(lambda: one.ready_workers("lexical")[0]["running"] >= 40, "40 questions are at the engine")
    finally:
        for number in range(3):
            weaviate.go_on(number)
    for thread in threads:
        thread.join(30)
    assert len(answers) == 40 and all("amber" in answer["passages"][0]["text"] for answer in answers)


def test_a_node_that_hangs_is_gone_round(make_cluster_of, weaviate):
    one = make_cluster_of(**{"gateway.hard_ms": 3000, "gateway.soft_ms": 3000})
    weaviate.pause(1)
    try:
        for _ in range(9):
            answer = one.search("amber lamp")
            assert answer["coverage"]["missing"] == [] and answer["passages"]
    finally:
        weaviate.go_on(1)
    weaviate.wait_ready()


def test_an_engine_that_hangs_is_an_error_within_the_deadline(make_cluster_of, weaviate):
    one = make_cluster_of(**{"gateway.hard_ms": 700, "gateway.soft_ms": 700})
    for number in range(3):
        weaviate.pause(number)
    try:
        began = time.monotonic()
        answer = one.post("/v1/search", {"question": "amber lamp"})
        assert time.monotonic() - began < 2
        assert answer.status == 503 and answer.json()["error"]["code"] == "retrieval_failed"
    finally:
        for number in range(3):
            weaviate.go_on(number)
    weaviate.wait_ready()


class Load(threading.Thread):
    """So many questions a second, each on its own; when each began, what it got."""

    def __init__(self, cluster, rate):
        super().__init__()
        self.cluster, self.rate = cluster, rate
        self.answers, self.stopped = [], threading.Event()

    def ask(self, began):
        answer = self.cluster.post("/v1/search", {"question": f"amber lamp {began}"})
        body = answer.json()
        whole = answer.status == 200 and not body["coverage"]["missing"] and bool(body["passages"])
        self.answers.append((began, answer.status, whole, body))

    def run(self):
        with concurrent.futures.ThreadPoolExecutor(64) as pool:
            due = time.monotonic()
            while not self.stopped.is_set():
                pool.submit(self.ask, time.monotonic())
                due += 1 / self.rate
                self.stopped.wait(max(0, due - time.monotonic()))

    def end(self):
        self.stopped.set()
        self.join()


def test_nodes_are_killed_under_load_and_come_back(make_cluster_of, weaviate):
    """One of three: whole answers go on. All: an explicit error. Back: used."""
    one = make_cluster_of(**{"gateway.hard_ms": 3000, "gateway.soft_ms": 3000})
    load = Load(one, 50)
    load.start()
    until(lambda: len(load.answers) > 20, "questions are answered")
    weaviate.nodes[1].process.kill()
    killed = time.monotonic()
    until(lambda: load.answers[-1][0] > killed + 6, "six seconds of questions more", 20)
    load.end()
    late = [(status, body) for began, status, whole, body in load.answers if began > killed + 5 and not whole]
    assert not late, late[:2]
    # what failed before that says so
    assert all(whole or status != 200 or body["coverage"]["missing"] for _, status, whole, body in load.answers)

    for node in (weaviate.nodes[0], weaviate.nodes[2]):
        node.process.kill()
    began = time.monotonic()
    answer = one.post("/v1/search", {"question": "amber lamp"})
    assert time.monotonic() - began < 3.5
    assert answer.status == 503, answer.body
    assert "engine" in answer.json()["error"]["message"], answer.body

    weaviate.start()
    ready = time.monotonic()

    def whole():
        answer = one.search("amber lamp")
        return not answer["coverage"]["missing"] and answer["passages"]

    until(whole, "the engine is used again", 5)
    assert time.monotonic() - ready < 5
