"""Collections in a distributed engine: a real Weaviate of three nodes on loopback. The tests of search, filters and
answers are those of a local index, asked of the engine; then what only the engine has: loading, and nodes that go."""

import json
import threading
import time

import pytest

import test_ask
import test_filter
import test_search
from conftest import need, new_cluster, end_cluster
from fakes.embed import FakeEmbed
from harness import weaviate as engine
from harness.documents import COOKING, GUIDE, write
from harness.wait import until

pytestmark = pytest.mark.standin

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


@pytest.fixture(scope="module")
def cluster(work, weaviate, _llm, _embed, guide, cooking):
    one = engine_cluster(work, weaviate, _llm, _embed, "test_weaviate")
    try:
        one.start(guide, cooking)
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
