"""Retrieval: POST /v1/search, collections, kinds, weights, k, fusion; and what is left when the
embedding server or an index fails."""

import pytest

from fakes import embed as fake_embed
from harness.cluster import build_index, error_of
from harness.documents import write

pytestmark = pytest.mark.sanitized


def texts(answer):
    return [passage["text"] for passage in answer["passages"]]


def test_the_passages_alone_as_json(cluster, llm):
    answer = cluster.search("How often must the Kestrel pump be greased?")
    assert "300 hours" in answer["passages"][0]["text"]
    first = answer["passages"][0]
    assert first["n"] == 1
    assert first["collection"] == "docs"
    assert first["id"].startswith("docs/")
    assert first["title"] == "Kestrel pump"
    assert "Maintenance" in first["heading"]
    assert first["source"].endswith("kestrel.md")
    assert set(first["kinds"]) == {"dense", "lexical"}
    assert answer["coverage"] == {"answered": cluster.sources, "of": cluster.sources, "missing": []}
    assert answer["id"].startswith("req_")
    assert answer["timings"]["total_ms"] > 0
    assert llm.asked() == [], "a search asks no LLM"


def test_markup_and_scripts_of_html_are_no_text(cluster):
    answer = cluster.search("copper pipe around the valve", k=20)
    first = answer["passages"][0]
    assert "copper" in first["text"]
    assert first["title"] == "Glossary of the plant"
    assert not any("secret" in text or "<p>" in text for text in texts(answer))


@pytest.mark.parametrize("k", [1, 3, 100])
def test_k_is_how_many_at_most(cluster, k):
    answer = cluster.search("valve pump gauge", k=k)
    assert 1 <= len(answer["passages"]) <= k
    if k == 1:
        assert len(answer["passages"]) == 1


@pytest.mark.parametrize("kind", ["dense", "lexical"])
def test_one_kind_alone(cluster, kind):
    answer = cluster.search("What does an amber lamp mean?", kinds=[kind])
    half = cluster.sources // 2
    assert answer["coverage"] == {"answered": half, "of": half, "missing": []}
    assert all(passage["kinds"] == [kind] for passage in answer["passages"])
    assert "amber" in answer["passages"][0]["text"]


def test_lexical_alone_asks_no_embedding(cluster, embed):
    cluster.search("a question never asked before lamp", kinds=["lexical"])
    assert embed.requests == []


def test_words_are_stemmed(cluster):
    answer = cluster.search("calibrating gauges", kinds=["lexical"], k=1)
    assert "calibrated" in answer["passages"][0]["text"]


def test_a_weight_of_zero_silences_a_kind(cluster):
    question = "What does an amber lamp mean?"
    lexical = cluster.search(question, kinds=["lexical"], k=3)
    fused = cluster.search(question, weights={"dense": 0, "lexical": 1}, k=3)
    ids = [passage["id"] for passage in lexical["passages"]]
    assert [passage["id"] for passage in fused["passages"]][: len(ids)] == ids


def test_weights_change_the_order(cluster):
    question = "level of leaking water in the tank"
    by_weight = {}
    for kind, other in (("dense", "lexical"), ("lexical", "dense")):
        fused = cluster.search(question, weights={kind: 1, other: 0}, k=4)
        alone = cluster.search(question, kinds=[kind], k=4)
        assert fused["passages"][0]["id"] == alone["passages"][0]["id"]
        by_weight[kind] = [p["id"] for p in fused["passages"]]
    assert by_weight["dense"] != by_weight["lexical"]


def test_a_passage_that_both_kinds_find_comes_once_and_says_so(cluster):
    answer = cluster.search("Osprey valve closing time power fails", k=20)
    ids = [passage["id"] for passage in answer["passages"]]
    assert len(set(ids)) == len(ids)
    assert set(answer["passages"][0]["kinds"]) == {"dense", "lexical"}


def test_several_collections_in_one_question(cluster):
    answer = cluster.search("sourdough hours pump grease hours", collections=["docs", "cooking"], k=20)
    assert {passage["collection"] for passage in answer["passages"]} == {"docs", "cooking"}
    assert answer["coverage"]["of"] == cluster.sources + 2
    assert [p["n"] for p in answer["passages"]] == list(range(1, len(answer["passages"]) + 1))


def test_a_collection_by_name(cluster):
    answer = cluster.search("How long does the sourdough rest?", collection="cooking")
    assert {passage["collection"] for passage in answer["passages"]} == {"cooking"}
    assert "16 hours" in answer["passages"][0]["text"]
    assert answer["coverage"]["of"] == 2


def test_the_default_collections_are_the_configured_ones(cluster):
    answer = cluster.search("sourdough")
    assert all(passage["collection"] == "docs" for passage in answer["passages"])


def test_an_unknown_collection_is_named(cluster):
    answer = cluster.post("/v1/search", {"question": "x", "collection": "nowhere"})
    assert answer.status == 404
    error = error_of(answer)
    assert "nowhere" in error["message"]
    assert error["param"] in ("collection", "collections")


def test_a_question_without_a_known_word_is_answered_all_the_same(cluster):
    answer = cluster.search("zzyzx qwrtp")
    assert answer["coverage"]["answered"] == cluster.sources


@pytest.mark.parametrize(
    "question",
    ["***", "NOT (", '"unclosed', "a AND", "pump:", "-", "🙂🙂", "ä" * 3000, "pump\x01valve", "pump " * 3000],
    ids=lambda question: ascii(question[:12]),
)  # fmt: skip
def test_no_syntax_breaks_a_search(cluster, question):
    answer = cluster.search(question)
    assert answer["coverage"]["answered"] == cluster.sources


def test_the_question_is_embedded_once_for_all_shards(cluster, embed):
    cluster.search("an unheard of question about pumps")
    assert embed.texts() == ["an unheard of question about pumps"]


def test_positions_lead_back_to_the_document(cluster, guide_documents):
    answer = cluster.search("Heron gauge brass reference rod", k=1)
    passage = answer["passages"][0]
    text = (guide_documents / "heron.txt").read_bytes()
    piece = text[passage["start"] : passage["end"]].decode()
    assert " ".join(passage["text"].split()) in " ".join(piece.split()) or " ".join(
        piece.split()
    ) in " ".join(passage["text"].split())


# ---- the embedding server fails: lexical results still come, and the answer says what is missing --------


def check_lexical_only(answer, word):
    coverage = answer["coverage"]
    assert coverage["answered"] == 2 and coverage["of"] == 4, coverage
    assert {missing["source"] for missing in coverage["missing"]} == {"docs/0/dense", "docs/1/dense"}
    for missing in coverage["missing"]:
        assert "embed" in missing["reason"].lower(), missing
    assert answer["passages"]
    assert all(passage["kinds"] == ["lexical"] for passage in answer["passages"])
    assert any(word in text for text in texts(answer))


WRONG_EMBEDDINGS = {
    "500": lambda dim: fake_embed.error(500),
    "401": lambda dim: fake_embed.error(401),
    "404": lambda dim: fake_embed.error(404),
    "429": lambda dim: fake_embed.error(429, headers={"Retry-After": "7"}),
    "html": lambda dim: fake_embed.html(),
    "malformed": lambda dim: fake_embed.malformed(),
    "another dimension": lambda dim: fake_embed.of_dimension(dim + 1),
    "no dimension": lambda dim: fake_embed.of_dimension(0),
    "huge dimension": lambda dim: fake_embed.of_dimension(70_000),
    "one vector missing": lambda dim: fake_embed.one_missing(dim),
    "NaN": lambda dim: fake_embed.not_a_number(dim),
    "null": lambda dim: fake_embed.nulls(dim),
    "zeros": lambda dim: fake_embed.zeros(dim),
    "never": lambda dim: fake_embed.never(),
}


@pytest.mark.parametrize("wrong", WRONG_EMBEDDINGS)
def test_lexical_results_come_when_the_embedding_server_is_wrong(cluster, embed, wrong):
    if wrong == "no dimension":
        embed.always(fake_embed.of_dimension(1))
    else:
        embed.always(WRONG_EMBEDDINGS[wrong](embed.dimension))
    answer = cluster.search(f"What does an amber lamp mean {wrong}?", timeout_ms=20000)
    check_lexical_only(answer, "amber")


def test_lexical_results_come_when_the_embedding_server_is_down(cluster, embed):
    embed.down()
    answer = cluster.search("What does an amber lamp mean when nothing embeds?")
    check_lexical_only(answer, "amber")


def test_an_ask_says_that_the_embedding_failed(cluster, embed):
    embed.always(fake_embed.error(500))
    stream = cluster.ask("What does the amber lamp say of embeddings?")
    assert stream.complete and stream.names()[-1] == "done"
    states = [event.data["state"] for event in stream.of("status")]
    assert "embedding_failed" in states
    assert stream.one("done").data["coverage"]["answered"] == 2
    assert "2 of 4" in stream.one("sources").data["message"]


def test_dense_is_back_as_soon_as_the_embedding_server_is(cluster, embed):
    embed.down()
    check_lexical_only(cluster.search("amber lamps before it came back"), "amber")
    embed.up()
    answer = cluster.search("amber lamps after it came back")
    assert answer["coverage"]["answered"] == cluster.sources


def test_require_all_turns_a_missing_source_into_an_error(cluster, embed):
    embed.always(fake_embed.error(500))
    answer = cluster.post("/v1/search", {"question": "amber lamp require", "require": "all"})
    assert answer.status == 503, answer.body
    error = error_of(answer)
    assert "docs/0/dense" in error["message"] or "docs/1/dense" in error["message"]


def test_the_same_text_in_two_documents_comes_once(make_cluster, embed, work):
    text = "The Merlin crane lifts 12 tons. It stands at the northern quay.\n"
    folder = write(work / "twins-documents", {"a.txt": text, "b.txt": text, "c.txt": "Another matter."})
    build_index(work / "twins", [folder], embed, "docs", shards=2)
    one = make_cluster()
    one.start_gateway()
    one.start_retriever(work / "twins")
    one.wait_workers(4)
    answer = one.search("How much does the Merlin crane lift?")
    assert sum("Merlin" in text for text in texts(answer)) == 1


@pytest.mark.parametrize("fusion", ["rrf", "convex"])
def test_both_ways_of_fusion(make_cluster, guide, fusion):
    one = make_cluster(**{"gateway.fusion": fusion})
    one.start_gateway()
    one.start_retriever(guide)
    one.wait_workers(4)
    answer = one.search("What pressure does the Kestrel pump run at?")
    assert "42 bar" in answer["passages"][0]["text"]
    scores = [passage["score"] for passage in answer["passages"]]
    assert scores == sorted(scores, reverse=True)
