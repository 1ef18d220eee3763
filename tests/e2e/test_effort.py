"""Effort: how much of an index a search looks at, from the request, the manifest or the time that is left."""

import json

import pytest

from harness.cluster import build_index, error_of
from harness.process import run
from harness.wait import until

TOPICS = ["sockets", "threads", "files", "memory", "signals", "pipes", "timers", "locks"]


def build(folder, embed, name, factory):
    documents = folder.parent / f"{name}.jsonl"
    with open(documents, "w") as out:
        for number in range(600):
            text = f"Chapter {number} is about {TOPICS[number % 8]}, {TOPICS[number // 8 % 8]} and number {number * 37}."
            print(json.dumps({"id": f"{name}-{number}", "title": f"{number}", "text": text, "n": number}), file=out)
    build_index(folder, [documents], embed, name, **{"index.factory": factory})
    return folder


@pytest.fixture(scope="module")
def lists(work, _embed):
    _embed.reset()
    return build(work / "lists", _embed, "lists", "IVF16,SQ8")


@pytest.fixture(scope="module")
def graph(work, _embed):
    return build(work / "graph", _embed, "graph", "HNSW8")


@pytest.fixture(scope="module")
def both(cluster, lists, graph):
    """The module's cluster, with an inverted file and a graph beside the flat indexes."""
    before = len(cluster.ready_workers())
    cluster.start_retriever(lists)
    cluster.start_retriever(graph)
    cluster.wait_workers(before + 4)
    return cluster


def search(cluster, collection, **options):
    """The answer to a question that no cache knows, and the span of its dense search."""
    search.asked += 1
    question = f"What about {TOPICS[search.asked % 8]} number {search.asked}?"
    reply = cluster.post("/v1/search", {"question": question, "collection": collection, "kinds": ["dense"], **options})
    assert reply.status == 200, reply.body
    spans = [span for span in reply.json()["timings"]["spans"] if span["stage"] == "search"]
    return reply.json(), spans[0]


search.asked = 0


def test_the_answer_says_which_effort_was_used(both):
    _, span = search(both, "lists", nprobe=3)
    assert (span["effort"], span["effort_used"]) == ("nprobe", 3)
    assert "effort_lowered_from" not in span
    _, span = search(both, "graph", ef_search=77)
    assert (span["effort"], span["effort_used"]) == ("ef_search", 77)


def test_each_kind_of_index_takes_what_is_its_own(both):
    _, span = search(both, "lists", nprobe=2, ef_search=99)
    assert (span["effort"], span["effort_used"]) == ("nprobe", 2)
    _, span = search(both, "graph", nprobe=2, ef_search=99)
    assert (span["effort"], span["effort_used"]) == ("ef_search", 99)
    _, span = search(both, "docs", nprobe=2)
    assert "effort" not in span  # an exact index looks at all


def test_more_than_there_is_is_all_there_is(both):
    _, span = search(both, "lists", nprobe=5000)
    assert span["effort_used"] == 16


def test_all_effort_finds_what_an_exact_search_finds(both):
    question = {"question": "What about pipes and timers?", "kinds": ["dense"], "k": 10}
    one = both.post("/v1/search", {**question, "collection": "lists", "nprobe": 16}).json()["passages"]
    other = both.post("/v1/search", {**question, "collection": "graph", "ef_search": 600}).json()["passages"]
    # a quantizer's hits are scored by the vectors themselves
    assert [p["score"] for p in one] == pytest.approx([p["score"] for p in other], abs=1e-4)


def test_a_filter_works_with_any_effort(both):
    for collection in ("lists", "graph"):
        for options in ({}, {"nprobe": 1, "ef_search": 10}):
            answer, _ = search(both, collection, k=10, filter={"field": "n", "lt": 300}, **options)
            assert len(answer["passages"]) == 10
            assert all(int(passage["title"]) < 300 for passage in answer["passages"])


@pytest.mark.parametrize("field", ["nprobe", "ef_search"])
@pytest.mark.parametrize("value", [0, -1, 65537, "many", 1.5, None])
def test_a_wrong_effort_is_refused(both, field, value):
    reply = both.post("/v1/search", {"question": "q", field: value})
    assert reply.status == 400
    assert error_of(reply)["param"] == field


def test_a_deadline_that_is_near_lowers_the_effort_and_the_answer_says_so(both):
    def lowered():
        _, span = search(both, "lists", nprobe=16, soft_ms=2)
        return span if "effort_lowered_from" in span else None

    span = until(lowered, "an effort is lowered")
    assert span["effort_lowered_from"] == 16
    assert span["effort_used"] < 16
    assert both.metrics()["ragline_searches_effort_lowered_total"] >= 1


def effort_in_manifest(folder):
    generation = (folder / "CURRENT").read_text().strip()
    return json.loads((folder / generation / "manifest.json").read_text()).get("effort")


@pytest.mark.parametrize("name, kind", [("lists", "nprobe"), ("graph", "ef_search")])
def test_a_check_chooses_an_effort_that_running_retrievers_take_up(both, work, name, kind):
    done = run("ragline-index", ["--check", work / name, "--index-check-recall", "0.9"], work)
    assert done.returncode == 0, done.stderr
    assert kind in done.stdout and "recall@10" in done.stdout and "p99" in done.stdout
    effort = effort_in_manifest(work / name)
    assert effort["recall"] >= 0.9
    until(lambda: search(both, name)[1]["effort_used"] == effort[kind], "the effort is taken up")


def test_a_check_takes_one_folder_that_has_an_index(work):
    done = run("ragline-index", ["--check"], work)
    assert done.returncode == 2 and "--check takes" in done.stderr
    done = run("ragline-index", ["--check", work / "nothing-here"], work)
    assert done.returncode == 3 and "nothing-here" in done.stderr
