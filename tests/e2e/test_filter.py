"""Filters: conditions on metadata, in every form of request, for dense and lexical retrieval alike."""

import json
import random

import pytest

from fakes.embed import FakeEmbed
from harness.cluster import build_index, error_of
from harness.process import run
from harness.wait import until

pytestmark = pytest.mark.sanitized

LANGUAGES = ["c", "go", "python", "zig"]
TOPICS = ["sockets", "threads", "files", "memory"]
BOOKS = [
    {
        "id": f"book-{number}",
        "title": f"Book {number}",
        "text": f"Chapter {number} is about {TOPICS[number % 4]} and programs that wait for {TOPICS[number // 4 % 4]}.",
        "year": 2000 + number % 25,
        "lang": LANGUAGES[number % 3 if number % 7 else 3],
        "tags": TOPICS[: number % 4],
        "draft": number % 5 == 0,
        **({"price": {"net": number / 4}} if number % 2 else {}),
    }
    for number in range(200)
]



# a filter, and the same in Python
CASES = [
    ({"field": "year", "eq": 2007}, lambda b: b["year"] == 2007),
    ({"field": "lang", "in": ["c", "zig"]}, lambda b: b["lang"] in ("c", "zig")),
    ({"field": "year", "gte": 2010, "lt": 2012}, lambda b: 2010 <= b["year"] < 2012),
    ({"field": "year", "gt": 2022.5}, lambda b: b["year"] > 2022.5),
    ({"field": "draft", "eq": True}, lambda b: b["draft"]),
    ({"field": "tags", "eq": "files"}, lambda b: "files" in b["tags"]),
    ({"field": "price.net", "lte": 3}, lambda b: "price" in b and b["price"]["net"] <= 3),
    ({"field": "price.net", "exists": False}, lambda b: "price" not in b),
    ({"field": "id", "prefix": "book-11"}, lambda b: b["id"].startswith("book-11")),
    ({"field": "title", "eq": "Book 42"}, lambda b: b["id"] == "book-42"),
    ({"field": "year", "eq": "2007"}, lambda b: False),
    (
        {"and": [{"field": "year", "gte": 2020}, {"field": "lang", "in": ["c", "go"]},
                 {"not": {"field": "draft", "eq": True}}]},
        lambda b: b["year"] >= 2020 and b["lang"] in ("c", "go") and not b["draft"],
    ),
    (
        {"or": [{"field": "year", "lt": 2002}, {"and": [{"field": "lang", "eq": "zig"}, {"field": "draft", "eq": True}]}]},
        lambda b: b["year"] < 2002 or b["lang"] == "zig" and b["draft"],
    ),
]  # fmt: skip


@pytest.fixture(scope="module")
def books(work, _embed):
    _embed.reset()
    path = work / "books.jsonl"
    path.write_text("".join(json.dumps(book) + "\n" for book in BOOKS))
    build_index(work / "books", [path], _embed, "books", shards=2)
    return work / "books"


@pytest.fixture(scope="module")
def shop(cluster, books):
    """The module's cluster, with the books beside "docs" and "cooking"."""
    before = len(cluster.ready_workers())
    cluster.start_retriever(books)
    cluster.wait_workers(before + cluster.sources)
    return cluster


def titles(answer):
    return sorted(passage["title"] for passage in answer["passages"])


@pytest.fixture
def small():
    """An embedding server of few dimensions."""
    fake = FakeEmbed(8)
    yield fake
    fake.close()


@pytest.mark.parametrize("kinds", [["dense"], ["lexical"], ["dense", "lexical"]], ids=" and ".join)
@pytest.mark.parametrize("condition, keeps", CASES, ids=[json.dumps(condition)[:60] for condition, _ in CASES])
def test_a_filter_keeps_what_fulfils_it(shop, kinds, condition, keeps):
    answer = shop.search("chapter about programs that wait", collection="books", kinds=kinds, k=100, filter=condition)
    expected = sorted(book["title"] for book in BOOKS if keeps(book))
    assert answer["coverage"]["missing"] == []
    if len(expected) <= 50:
        assert titles(answer) == expected, "every passage has words of the question, so all that fulfil it are found"
    else:
        assert len(answer["passages"]) >= 50 and set(titles(answer)) <= set(expected)


def test_the_best_are_those_of_the_filtered(shop):
    """Before the top-k is cut: the k best with a filter are the k best of all that fulfil it."""
    for kind in ("dense", "lexical"):
        everything = shop.search("sockets", collection="books", kinds=[kind], k=100)
        few = shop.search("sockets", collection="books", kinds=[kind], k=3, filter={"field": "lang", "eq": "zig"})
        assert len(few["passages"]) == 3
        assert all(passage["meta"]["lang"] == "zig" for passage in few["passages"])
        best = [p["score"] for p in everything["passages"] if p["meta"]["lang"] == "zig"][:3]
        assert len(best) == 3
        assert [p["score"] for p in few["passages"]] == pytest.approx(best, abs=1e-4)


def test_nothing_kept_is_no_error(shop):
    answer = shop.search("sockets", collection="books", filter={"field": "year", "gt": 3000})
    assert answer["passages"] == []
    assert answer["coverage"]["answered"] == shop.sources


def test_an_answer_s_passages_are_filtered(shop, llm):
    condition = {"field": "lang", "eq": "go"}
    stream = shop.ask({"question": "What is about sockets?", "collection": "books", "filter": condition})
    passages = stream.of("sources")[0].data["passages"]
    assert passages and all(passage["meta"]["lang"] == "go" for passage in passages)
    body = {
        "model": "ragline/books",
        "messages": [{"role": "user", "content": "What is about sockets?"}],
        "ragline": {"filter": condition},
    }
    answer = shop.post("/v1/chat/completions", body)
    assert answer.status == 200, answer.body
    prompt = llm.prompt()
    for book in BOOKS:
        if book["lang"] != "go":
            assert book["text"] not in prompt


def test_null_is_no_filter(shop):
    assert shop.search("sockets", collection="books", filter=None)["passages"]


def test_files_have_a_kind(shop):
    answer = shop.search("pump valve gauge", filter={"field": "kind", "eq": "html"}, k=20)
    assert answer["passages"] and all(p["source"].endswith(".html") for p in answer["passages"])
    answer = shop.search("pump valve gauge", filter={"not": {"field": "kind", "in": ["html", "text"]}}, k=20)
    assert answer["passages"] and all(p["source"].endswith(".md") for p in answer["passages"])


def test_a_field_of_one_collection_keeps_nothing_of_the_other(shop):
    answer = shop.search("sockets pump", collections=["docs", "books"], filter={"field": "lang", "eq": "c"}, k=50)
    assert {passage["collection"] for passage in answer["passages"]} == {"books"}
    assert answer["coverage"]["answered"] == 2 * shop.sources


def test_the_fields_are_told(shop):
    of = {c["name"]: c["fields"] for c in shop.get("/v1/info").json()["collections"]}
    assert of["books"] == {
        "id": "string", "title": "string", "source": "string", "year": "number", "lang": "string", "tags": "string",
        "draft": "boolean", "price.net": "number",
    }  # fmt: skip
    assert of["docs"]["kind"] == "string"


@pytest.mark.parametrize(
    "wrong, param, code",
    [
        (7, "filter", "invalid_value"),
        ([], "filter", "invalid_value"),
        ({}, "filter", "invalid_value"),
        ("year > 2020", "filter", "invalid_value"),
        ({"year": 2020}, "filter.year", "unknown_parameter"),
        ({"field": "year"}, "filter", "invalid_value"),
        ({"field": "year", "ne": 1}, "filter.ne", "unknown_parameter"),
        ({"field": "year", "eq": None}, "filter.eq", "invalid_value"),
        ({"field": "year", "gte": 1, "lt": "x"}, "filter.lt", "invalid_value"),
        ({"and": [{"field": "year", "eq": 1}, {"or": [{"field": "year", "in": []}]}]}, "filter.and[1].or[0].in", "invalid_value"),
        ({"not": {"field": 1, "eq": 1}}, "filter.not.field", "invalid_value"),
        ({"field": "x" * 200, "eq": 1}, "filter.field", "invalid_value"),
        ({"field": "year", "in": list(range(1001))}, "filter.in", "invalid_value"),
    ],
    ids=lambda value: json.dumps(value)[:50],
)  # fmt: skip
def test_a_wrong_filter_is_named(shop, wrong, param, code):
    for path, body in (("/v1/search", {"question": "x", "filter": wrong}), ("/v1/ask", {"question": "x", "filter": wrong})):
        answer = shop.post(path, body)
        assert answer.status == 400
        assert error_of(answer)["param"] == param and error_of(answer)["code"] == code
        assert param.split("[")[0].split(".")[0] in error_of(answer)["message"]
    chat = {"model": "ragline", "messages": [{"role": "user", "content": "x"}], "ragline": {"filter": wrong}}
    answer = shop.post("/v1/chat/completions", chat)
    assert answer.status == 400 and error_of(answer)["param"] == f"ragline.{param}"


def test_a_filter_nested_too_deep(shop):
    wrong = {"field": "year", "eq": 1}
    for _ in range(20):
        wrong = {"not": wrong}
    answer = shop.post("/v1/search", {"question": "x", "filter": wrong})
    assert answer.status == 400 and "8 deep" in error_of(answer)["message"]


def test_an_unknown_field_is_named_with_those_there_are(shop):
    answer = shop.post("/v1/search", {"question": "x", "collection": "books", "filter": {"field": "yaer", "eq": 1}})
    assert answer.status == 400
    error = error_of(answer)
    assert error["code"] == "unknown_field" and error["param"] == "filter"
    assert "yaer" in error["message"] and "year" in error["message"] and "lang" in error["message"]


def test_the_terminal_s_client_takes_a_filter(shop):
    def ask(condition):
        words = ["--ask-url", shop.url, "--ask-collections", "books", "--search", "--json", "--ask-k", "50"]
        return run("ragline-ask", [*words, "--ask-filter", condition, "sockets"], shop.folder)

    done = ask('{"field": "lang", "eq": "zig"}')
    assert done.returncode == 0, done.stderr
    assert {p["meta"]["lang"] for p in json.loads(done.stdout)["passages"]} == {"zig"}
    done = ask("lang=zig")
    assert done.returncode == 2 and "ask.filter" in done.stderr
    done = ask('{"lang": "zig"}')
    assert done.returncode == 3 and "filter.lang" in done.stderr


# ---- other indexes -----------------------------------------------------------------------------------------


def test_an_index_of_an_earlier_version_is_served_but_not_filtered(make_cluster, tmp_path, embed):
    path = tmp_path / "books.jsonl"
    path.write_text("".join(json.dumps(book) + "\n" for book in BOOKS[:20]))
    build_index(tmp_path / "old", [path], embed, "docs")
    generation = tmp_path / "old" / "g-000001"
    said = json.loads((generation / "manifest.json").read_text())
    del said["fields"], said["fields_more"]
    files = said["shards"][0]["files"]
    files[:] = [file for file in files if file["name"] != "fields.bin"]
    (generation / "manifest.json").write_text(json.dumps(said))
    (generation / "shard-0" / "fields.bin").unlink()
    one = make_cluster()
    one.start_gateway()
    one.start_retriever(tmp_path / "old")
    one.wait_workers(2)
    assert one.search("sockets")["passages"]
    answer = one.post("/v1/search", {"question": "sockets", "filter": {"field": "year", "eq": 2001}})
    assert answer.status == 400
    assert error_of(answer)["code"] == "filter_unavailable"
    assert "docs" in error_of(answer)["message"] and "ragline-index" in error_of(answer)["message"]
    # built again: a new generation, taken over while it runs
    build_index(tmp_path / "old", [path], embed, "docs")

    def known():
        return "fields" in one.get("/v1/info").json()["collections"][0]

    until(known, "the new generation's fields are announced")
    assert one.search("sockets", filter={"field": "year", "eq": 2001})["passages"]


def test_one_passage_in_a_hundred_thousand(make_cluster, tmp_path, small):
    """Vectors come with the passages; every one has the same words."""
    chance = random.Random(7)
    path = tmp_path / "many.jsonl"
    with open(path, "w") as out:
        for number in range(100_000):
            vector = [round(chance.gauss(0, 1), 3) for _ in range(8)]
            line = {"id": str(number), "text": f"common words of passage {number}", "vector": vector, "n": number}
            out.write(json.dumps(line) + "\n")
    build_index(tmp_path / "many", [path], small, "docs")
    one = make_cluster(embed=small)
    one.start_gateway()
    one.start_retriever(tmp_path / "many")
    one.wait_workers(2)
    for number in (0, 1, 31_415, 99_999):
        for kinds in (["dense"], ["lexical"], ["dense", "lexical"]):
            condition = {"field": "n", "eq": number}
            answer = one.search("common words of a passage", kinds=kinds, filter=condition)
            assert [passage["meta"]["n"] for passage in answer["passages"]] == [number], kinds
            assert answer["passages"][0]["kinds"] == kinds
            assert answer["coverage"]["missing"] == []
