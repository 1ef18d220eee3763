"""ragline-index: what it reads, what it says, and that an old index stays in force until a new one is
whole; and what a retriever says to an index that is wrong."""

import gzip
import json
import os
import shutil
import signal
import subprocess

import pytest

from fakes import embed as fake_embed
from fakes.server import Gate, Send, json_response
from harness.cluster import build_index, options
from harness.documents import GUIDE, write
from harness.process import Process, environment, program, run
from harness.wait import until

pytestmark = pytest.mark.sanitized


def index(work, out, documents, embed=None, **settings):
    given = {"index.out": out, "index.collection": "docs", **settings}
    if embed:
        given = {"embed.url": embed.url, "embed.model": embed.model, **given}
    return run("ragline-index", [*options(given), *documents], work, timeout=90)


def current(folder):
    return (folder / "CURRENT").read_text().strip()


def manifest(folder):
    return json.loads((folder / current(folder) / "manifest.json").read_text())


@pytest.fixture
def folder(tmp_path):
    return tmp_path


@pytest.fixture
def serve(make_cluster):
    def start(index, **settings):
        one = make_cluster(**settings)
        one.start_gateway()
        one.start_retriever(index)
        kinds = 2 if manifest(index)["dimension"] else 1
        one.wait_workers(kinds * len(manifest(index)["shards"]))
        return one

    return start


def test_a_generation_of_two_shards(guide):
    name = current(guide)
    assert name == "g-000001"
    said = manifest(guide)
    assert said["collection"] == "docs" and len(said["shards"]) == 2
    assert said["model"] == "fake-embed" and said["dimension"] == 64
    assert said["documents"] == 4
    assert said["passages"] >= 8
    for shard in (0, 1):
        assert (guide / name / f"shard-{shard}" / "vectors.faiss").stat().st_size > 0
        assert (guide / name / f"shard-{shard}" / "text").exists()
    assert not [p for p in guide.iterdir() if p.name.endswith(".tmp")]


def test_every_kind_of_file(folder, embed, serve):
    documents = write(folder / "in", GUIDE)
    (documents / "tool.1").write_text(
        '.TH TOOL 1 "2024-01-01"\n.SH NAME\ntool \\- cuts \\fBrope\\fR\n.SH OPTIONS\n.TP\n'
        ".B \\-\\-length\nHow long the rope shall be, in fathoms.\n"
    )
    with gzip.open(documents / "packed.3.gz", "wt") as packed:
        packed.write(".TH PACKED 3\n.SH NAME\npacked \\- a page that is packed with wombats\n")
    lines = [
        {"id": "one", "title": "First", "text": "The tortoise sleeps all winter.", "year": 1999, "tags": ["a"]},
        {"id": "two", "title": "Second", "text": "The hedgehog eats slugs at dusk."},
    ]
    (documents / "lines.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    build_index(folder / "out", [documents], embed)
    one = serve(folder / "out")
    for question, word, doc in (
        ("winter sleep of tortoises", "tortoise", "one"),
        ("hedgehog slugs", "slugs", "two"),
        ("rope fathoms", "fathoms", "tool"),
        ("wombats", "wombats", "packed"),
        ("greasing the Kestrel", "300 hours", "kestrel"),
        ("sump bilge motor", "bilge", "glossary"),
    ):
        first = one.search(question, k=3)["passages"][0]
        assert word in first["text"], (question, first)
        assert doc in first["doc"], (question, first)
    first = one.search("winter sleep of tortoises", k=1)["passages"][0]
    assert first["title"] == "First"
    assert first["meta"]["year"] == 1999 and first["meta"]["tags"] == ["a"]
    rope = one.search("rope fathoms", k=1)["passages"][0]
    assert "OPTIONS" in (rope["heading"] + rope["text"]).upper(), "short sections join and keep their headings"
    assert "\\f" not in rope["text"] and ".TP" not in rope["text"]


def test_front_matter_is_what_filters_ask_for(folder, serve):
    documents = write(folder / "in", {
        "pumps.md": "---\ntitle: Pumps\ncreated: 2026-05-24\nyear: 2021\ndraft: true\ntags: [c, go]\nauthors:\n"
                    "  - Ann\nsummary: >\n  Folded\n  text\nunit:\n  bar: 42\n---\n\nThe pump runs at night.\n",
        "storks.md": "---\n\nA rule: storks.\n\n---\n\nThe pump sleeps by day.\n",
        "broken.md": "---\na: b: c\n---\n\nThe pump of the third file.\n",
        "page.1": ".TH PAGE 1\n.SH NAME\npage \\- a pump\n.do nop hidden\n",
    })  # fmt: skip
    done = index(folder, folder / "out", [documents])
    assert done.returncode == 1, done.stderr
    assert "broken.md: line 2: front matter" in done.stderr
    assert "page.1: line 4: mandoc does not support it" in done.stderr
    assert "not wholly in the index: 2" in done.stdout
    one = serve(folder / "out", embed=None)
    for field, condition in (
        ("year", {"gte": 2020}),
        ("draft", {"eq": True}),
        ("tags", {"eq": "go"}),
        ("authors", {"eq": "Ann"}),
        ("created", {"gte": "2026-01-01", "lt": "2027"}),
        ("summary", {"eq": "Folded text"}),
        ("unit.bar", {"eq": 42}),
    ):
        found = one.search("pump", filter={"field": field, **condition})["passages"]
        assert [passage["title"] for passage in found] == ["Pumps"], field
    assert "A rule" in str(one.search("storks")["passages"]), "a rule begins no front matter"


def test_lexical_only_without_an_embedding_server(folder, serve):
    documents = write(folder / "in", GUIDE)
    done = index(folder, folder / "out", [documents])
    assert done.returncode == 0, done.stderr
    assert manifest(folder / "out")["dimension"] == 0
    one = serve(folder / "out", embed=None)
    answer = one.search("Kestrel pressure")
    assert "42 bar" in answer["passages"][0]["text"]
    assert answer["coverage"] == {"answered": 1, "of": 1, "missing": []}


def test_long_text_is_cut_with_an_overlap(folder, embed, serve):
    sentences = [f"Sentence number {n} speaks of matter {n * 7919 % 1000}." for n in range(300)]
    text = ""
    for at in range(0, 300, 10):
        text += " ".join(sentences[at : at + 10]) + "\n\n"
    documents = write(folder / "in", {"long.txt": text})
    settings = {"index.chunk_words": 100, "index.overlap_words": 20}
    build_index(folder / "out", [documents], embed, **settings)
    one = serve(folder / "out")
    passages = one.search("sentence matter speaks", k=100)["passages"]
    assert len(passages) >= 20
    passages.sort(key=lambda p: p["start"])
    raw = text.encode()
    for passage in passages:
        words = passage["text"].split()
        assert len(words) <= 130
        assert passage["text"].rstrip().endswith("."), "cut at a sentence's end"
        assert raw[passage["start"] : passage["end"]].decode().split()[:5] == words[:5]
    whole = " ".join(p["text"] for p in passages)
    assert all(sentence in whole for sentence in sentences), "no sentence is cut or lost"
    assert any(a["end"] > b["start"] for a, b in zip(passages, passages[1:])), "they overlap"


def test_prefixes_of_the_model(folder, embed):
    documents = write(folder / "in", {"a.txt": "The Plover lamp is red."})
    conf = folder / "r.conf"
    conf.write_text("[model fake-embed]\npassage_prefix = \"passage: \"\nquery_prefix = \"query: \"\n")
    done = index(folder, folder / "out", ["--config", conf, documents], embed)
    assert done.returncode == 0, done.stderr
    assert any(text.startswith("passage: ") for text in embed.texts())


def test_what_was_embedded_is_not_embedded_again(folder, embed):
    documents = write(folder / "in", GUIDE)
    build_index(folder / "out", [documents], embed)
    first = len(embed.texts())
    assert first >= 4
    (documents / "new.txt").write_text("The Plover lamp is red.")
    embed.reset()
    build_index(folder / "out", [documents], embed)
    again = [text for text in embed.texts()]
    assert len(again) <= 2 and any("Plover" in text for text in again)
    assert current(folder / "out") == "g-000002"
    assert manifest(folder / "out")["documents"] == 5


def test_another_model_is_embedded_anew(folder, embed):
    documents = write(folder / "in", GUIDE)
    build_index(folder / "out", [documents], embed)
    first = len(embed.texts())
    embed.reset()
    done = index(folder, folder / "out", [documents], embed, **{"embed.model": "another"})
    assert done.returncode == 0, done.stderr
    assert len(embed.texts()) >= first
    assert manifest(folder / "out")["model"] == "another"


def test_files_that_cannot_be_read_are_named_and_counted(folder, embed):
    documents = write(folder / "in", GUIDE)
    (documents / "bad.txt").write_bytes(b"\xff\xfe\x00\x01binary\x00" * 50)
    (documents / "lines.jsonl").write_text('{"id": "a", "text": "good line of text"}\nnonsense\n{"id": 7}\n')
    (documents / "gone.md").symlink_to("/nonexistent")
    done = index(folder, folder / "out", [documents, folder / "missing.md"], embed)
    said = done.stdout + done.stderr
    assert done.returncode not in (0, None), "the exit status says so"
    for name in ("gone.md", "missing.md", "lines.jsonl"):
        assert name in said, said
    assert "lines.jsonl:2" in said or "line 2" in said, said
    assert manifest(folder / "out")["documents"] >= 5, "the rest went on"


def test_odd_documents_do_no_harm(folder, embed):
    documents = write(folder / "in", {
        "empty.txt": "", "blank.md": "\n\n  \n", "only-heading.md": "# Title\n", "one-word.txt": "word",
        "endless-word.txt": "x" * 100_000, "endless-line.txt": "word " * 30_000,
        "deep.html": "<div>" * 20_000 + "text in the deep" + "</div>" * 20_000,
        "broken.html": "<html><body><p>unclosed <b>bold <i>both</b> words</i> <table><td>cell",
        "headings.md": "".join("#" * (1 + n % 6) + f" heading {n}\n\ntext {n}\n\n" for n in range(200)),
        "fence.md": "# Code\n\n```c\nint main(void) { return 0; }\n", "odd.1": ".TH X 1\n.SH\n.B\n.de XX\n\\f\n\\*(\n",
        "entities.html": "<p>&amp;&lt;&#x1F642;&#0;&#xD800;&bogus;</p>", "crlf.txt": "a line\r\nanother line\r\n\r\nmore\r\n",
        "nul.txt": "before\0after", "bom.txt": "\ufeffwith a mark", "emoji.md": "# 🙂\n\n🙂 🙂 🙂\n",
    })  # fmt: skip
    done = index(folder, folder / "out", [documents], embed)
    assert (folder / "out" / "CURRENT").exists(), done.stderr
    assert manifest(folder / "out")["passages"] > 10
    for text in embed.texts():
        assert len(text) < 20_000


def test_nothing_to_index(folder, embed):
    (folder / "in").mkdir()
    done = index(folder, folder / "out", [folder / "in"], embed)
    assert done.returncode not in (0, None)
    assert not (folder / "out" / "CURRENT").exists()
    done = index(folder, folder / "out", [], embed)
    assert done.returncode not in (0, None)


WRONG = {
    "down": None,
    "401": lambda dim: fake_embed.error(401),
    "404": lambda dim: fake_embed.error(404),
    "400": lambda dim: fake_embed.error(400, "input is too long"),
    "html": lambda dim: fake_embed.html(),
    "malformed": lambda dim: fake_embed.malformed(),
    "one vector missing": lambda dim: fake_embed.one_missing(dim),
    "NaN": lambda dim: fake_embed.not_a_number(dim),
    "null": lambda dim: fake_embed.nulls(dim),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_an_embedding_server_that_is_wrong_leaves_the_old_index(folder, embed, wrong):
    documents = write(folder / "in", GUIDE)
    build_index(folder / "out", [documents], embed)
    (documents / "new.txt").write_text("The Plover lamp is red.")
    if WRONG[wrong]:
        embed.always(WRONG[wrong](embed.dimension))
    else:
        embed.down()
    done = index(folder, folder / "out", [documents], embed, **{"index.retries": 2})
    assert done.returncode not in (0, None)
    assert "embed" in done.stderr.lower(), done.stderr
    assert current(folder / "out") == "g-000001"


def test_a_busy_embedding_server_is_asked_again(folder, embed):
    documents = write(folder / "in", GUIDE)
    embed.plan(fake_embed.error(429, headers={"Retry-After": "1"}), fake_embed.error(503))
    build_index(folder / "out", [documents], embed)


def test_vectors_are_told_apart_by_their_index(folder, embed, serve):
    documents = write(folder / "in", GUIDE)
    embed.always(fake_embed.backwards(embed.dimension))
    build_index(folder / "out", [documents], embed)
    embed.reset()
    one = serve(folder / "out")
    answer = one.search("Kestrel pump pressure bar", kinds=["dense"], k=1)
    assert "42 bar" in answer["passages"][0]["text"]


def no_vector_of(word, embed, reply):
    """An embedding server that has no vector for a text with the word, whatever else is in the request."""
    def script(recorded):
        if any(word in text for text in recorded.json["input"]):
            return reply(recorded) if callable(reply) else reply
        return [Send(json_response(200, fake_embed.body_of(recorded, embed.dimension)))]

    return script


@pytest.mark.parametrize("kind", ["error", "nan", "nulls", "zeros", "malformed"])
def test_a_text_without_a_vector_costs_itself(folder, embed, serve, kind):
    """It stays in the index by its words, is named, and no question is near it."""
    replies = {"error": fake_embed.error(500, "json: unsupported value: NaN"),
               "nan": fake_embed.not_a_number(embed.dimension), "nulls": fake_embed.nulls(embed.dimension),
               "zeros": fake_embed.zeros(embed.dimension), "malformed": fake_embed.malformed()}  # fmt: skip
    texts = {f"note-{n:02}.md": f"Note {n} tells of the pump in house {n}.\n" for n in range(40)}
    documents = write(folder / "in", {**texts, "odd.md": "The quagga is an animal that is no more.\n"})
    embed.always(no_vector_of("quagga", embed, replies[kind]))
    report = folder / "report"
    done = index(folder, folder / "out", [documents], embed, **{"index.retries": 1, "index.report": report})
    assert done.returncode == 1, done.stderr
    (entry,) = map(json.loads, report.read_text().splitlines())
    assert entry["document"].endswith("odd.md") and entry["reason"] == "embedding", entry
    assert entry["outcome"] == "in part" and "words only" in entry["detail"], entry
    write(folder / "more", {"second.md": "The quagga was striped in front.\n", "third.md": "A pump in a quarry.\n"})
    more = run("ragline-index", [*options({"index.out": folder / "out", "embed.url": embed.url, "index.retries": 1}),
                                 "--add", folder / "more"], folder)  # fmt: skip
    assert more.returncode == 1 and "second.md" in more.stderr and "third.md" not in more.stderr, more.stderr
    embed.reset()
    one = serve(folder / "out")
    found = [passage["doc"] for passage in one.search("the quagga, an animal", kinds=["dense"], k=100)["passages"]]
    assert len(found) == 41 and not any("odd" in doc or "second" in doc for doc in found), found
    found = [passage["doc"] for passage in one.search("quagga", kinds=["lexical"], k=10)["passages"]]
    assert sorted(os.path.basename(doc) for doc in found) == ["odd.md", "second.md"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda n: n.name)
def test_an_interrupted_build_leaves_the_old_one_in_force(folder, embed, serve, number):
    documents = write(folder / "in", GUIDE)
    build_index(folder / "out", [documents], embed)
    (documents / "new.txt").write_text("The Plover lamp is red.")
    gate = Gate()
    embed.always([gate])
    settings = {"index.out": folder / "out", "index.collection": "docs", "embed.url": embed.url, "embed.model": embed.model}
    building = Process("ragline-index", [*options(settings), documents], folder, expect_exit=None)
    assert gate.reached.wait(20)
    building.signal(number)
    assert building.wait() != 0
    assert current(folder / "out") == "g-000001"
    one = serve(folder / "out")
    embed.reset()
    assert one.search("Kestrel pressure")["passages"]
    build_index(folder / "out", [documents], embed)
    assert current(folder / "out") > "g-000001"
    assert manifest(folder / "out")["documents"] == 5
    assert not [p for p in (folder / "out").iterdir() if p.name.endswith(".tmp")]


def test_two_builders_of_one_folder(folder, embed):
    documents = write(folder / "in", GUIDE)
    gate = Gate()
    embed.plan([gate])
    settings = {"index.out": folder / "out", "index.collection": "docs", "embed.url": embed.url, "embed.model": embed.model}
    first = Process("ragline-index", [*options(settings), documents], folder, expect_exit=None)
    assert gate.reached.wait(20)
    done = index(folder, folder / "out", [documents], embed)
    assert done.returncode not in (0, None)
    assert str(first.pid) in done.stderr, done.stderr
    first.kill()


def test_lines_where_there_is_no_terminal(folder, embed):
    documents = write(folder / "in", GUIDE)
    done = index(folder, folder / "out", [documents], embed)
    said = done.stdout + done.stderr
    assert "\r" not in said and "\x1b" not in said
    assert "passages" in said


def test_a_bar_on_a_terminal(folder, embed):
    import pty

    documents = write(folder / "in", GUIDE)
    embed.always(fake_embed.slow(0.2, embed.dimension))
    settings = {"index.out": folder / "out", "index.collection": "docs", "embed.url": embed.url,
                "embed.model": embed.model, "embed.batch": 1}  # fmt: skip
    leader, follower = pty.openpty()
    building = subprocess.Popen(
        [program("ragline-index"), *options(settings), documents],
        stdin=subprocess.DEVNULL, stdout=follower, stderr=follower, cwd=folder, env=environment({"TERM": "xterm"}),
    )  # fmt: skip
    os.close(follower)
    said = b""
    try:
        while True:
            data = os.read(leader, 65536)
            if not data:
                break
            said += data
    except OSError:
        pass  # the other end is closed
    os.close(leader)
    assert building.wait(20) == 0, said
    assert b"\r" in said.replace(b"\r\n", b"") and b"%" in said
    assert b"/s" in said


# ---- a retriever and an index that is wrong -----------------------------------------------------------------


def refused(folder, index, *words, **settings):
    done = run("ragline-retriever", options({"retriever.index": index, **settings}), folder, timeout=30)
    assert done.returncode not in (0, None), "it must not serve that"
    for word in words:
        assert word in done.stderr, done.stderr
    return done.stderr


@pytest.fixture
def copy(guide, folder):
    shutil.copytree(guide, folder / "index")
    return folder / "index"


def test_a_folder_that_is_not_there(folder):
    refused(folder, folder / "nowhere", "nowhere")


def test_a_folder_that_is_no_index(folder):
    (folder / "empty").mkdir()
    refused(folder, folder / "empty", "empty", "CURRENT")


def test_a_generation_that_is_gone(folder, copy):
    shutil.rmtree(copy / "g-000001")
    refused(folder, copy, "g-000001")


@pytest.mark.parametrize("text", ["", "../../etc", "g-000001/../..", "x" * 5000, "g-999999\n", "\0"], ids=ascii)
def test_a_current_that_names_nonsense(folder, copy, text):
    (copy / "CURRENT").write_text(text)
    refused(folder, copy, "CURRENT" if "999" not in text else "g-999999")


def files_of(index):
    return sorted(
        str(p.relative_to(index)) for p in (index / "g-000001").rglob("*") if p.is_file()
    )


def test_every_file_missing_or_truncated_or_altered(folder, copy):
    """One after the other: named, and never served."""
    files = files_of(copy)
    assert len(files) >= 6
    for name in files:
        path = copy / name
        data = path.read_bytes()
        path.unlink()
        refused(folder, copy, path.name)
        for size in {0, len(data) // 2, len(data) - 1} - {len(data)}:
            if size >= 0:
                path.write_bytes(data[:size])
                refused(folder, copy, path.name)
        path.write_bytes(data)
    for name in files:
        if "manifest" in name:
            continue
        path = copy / name
        data = path.read_bytes()
        if not data:
            continue
        altered = bytearray(data)
        altered[len(data) // 2] ^= 0x55
        path.write_bytes(altered)
        refused(folder, copy, path.name)
        path.write_bytes(data)


def edit(copy, change):
    path = copy / "g-000001" / "manifest.json"
    said = json.loads(path.read_text())
    change(said)
    path.write_text(json.dumps(said))
    return path


def test_another_format_version(folder, copy):
    edit(copy, lambda said: said.update(format=99))
    said = refused(folder, copy, "manifest.json", "99")
    assert "ragline-index" in said, "and what to do about it"


@pytest.mark.parametrize(
    "change",
    [
        {"format": "1"}, {"format": None}, {"dimension": -1}, {"dimension": 10**30}, {"dimension": 65},
        {"shards": 0}, {"shards": 10**9}, {"shards": 3}, {"passages": 10**12}, {"collection": 7},
        {"collection": "../x"}, {"language": "klingon"}, {"model": None},
    ],
    ids=str,
)  # fmt: skip
def test_a_manifest_that_cannot_be(folder, copy, change):
    edit(copy, lambda said: said.update(change))
    refused(folder, copy, "manifest.json" if "dimension" not in change or change["dimension"] != 65 else "65")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 200_000, '{"format": 1}', "\xff"], ids=lambda t: ascii(t[:10]))
def test_a_manifest_of_garbage(folder, copy, text):
    (copy / "g-000001" / "manifest.json").write_bytes(text.encode("latin-1"))
    refused(folder, copy, "manifest.json")


def test_an_index_of_another_model_is_searched_by_words_only(make_cluster, folder, embed):
    """The question would be embedded in another space: no dense results, and the answer says so."""
    documents = write(folder / "in", GUIDE)
    done = index(folder, folder / "out", [documents], embed, **{"embed.model": "another-model"})
    assert done.returncode == 0
    one = make_cluster()
    one.start_gateway()
    one.start_retriever(folder / "out")
    one.wait_workers(2)
    answer = one.search("Kestrel pressure")
    assert "42 bar" in answer["passages"][0]["text"]
    assert answer["coverage"]["answered"] == 1 and answer["coverage"]["of"] == 2
    missing = answer["coverage"]["missing"][0]
    assert missing["source"] == "docs/0/dense"
    assert "another-model" in missing["reason"], missing


def test_an_index_of_another_dimension(make_cluster, folder, embed):
    """The same model's name, but vectors of another length."""
    documents = write(folder / "in", GUIDE)
    embed.always(fake_embed.of_dimension(32))
    done = index(folder, folder / "out", [documents], embed)
    assert done.returncode == 0
    embed.reset()
    one = make_cluster()
    one.start_gateway()
    one.start_retriever(folder / "out")
    one.wait_workers(2)
    answer = one.search("Kestrel pressure")
    assert answer["coverage"]["answered"] == 1
    reason = answer["coverage"]["missing"][0]["reason"]
    assert "32" in reason and "64" in reason, reason


def test_a_shard_that_the_index_does_not_have(folder, copy):
    refused(folder, copy, "retriever.shards", "7", **{"retriever.shards": "7"})


def test_a_kind_that_nobody_serves(folder, copy):
    refused(folder, copy, "retriever.kinds", **{"retriever.kinds": "psychic"})


def test_an_index_removed_under_a_running_retriever(make_cluster, copy):
    """What is open goes on, or fails in words; nothing crashes."""
    one = make_cluster()
    one.start_gateway()
    one.start_retriever(copy)
    one.wait_workers(4)
    shutil.rmtree(copy)
    answer = one.post("/v1/search", {"question": "Kestrel pressure"})
    assert answer.status in (200, 503)
    until(lambda: one.processes[-1].alive(), "the retriever lives")
