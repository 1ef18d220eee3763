"""Collections that change while they are served: added, replaced, deleted, synchronised, merged."""

import hashlib
import itertools
import json
import random

import pytest

from harness import documents
from harness.changes import Changer
from harness.cluster import build_index, options
from harness.process import run
from harness.wait import until

CACHES = {
    "cache.share": "true",
    "cache.embeddings_mb": 16,
    "gateway.soft_ms": 20000,
    "gateway.hard_ms": 30000,
    "embed.timeout_ms": 20000,
}
_number = itertools.count(1)


def word():
    """A word that stands nowhere else."""
    return "zq" + hashlib.sha256(str(next(_number)).encode()).hexdigest()[:10].translate(
        str.maketrans("0123456789", "ghijklmnop")
    )


def index(args, folder, **settings):
    return run("ragline-index", [*options({"index.out": folder, **settings}), *map(str, args)], folder.parent)


def docs(cluster, question, **fields):
    answer = cluster.search(question, **fields)
    assert answer["coverage"]["answered"] == answer["coverage"]["of"], answer["coverage"]
    return [passage["doc"] for passage in answer["passages"]]


@pytest.fixture
def served(make_cluster, tmp_path, guide_documents, _embed):
    """A collection of two shards of its own, two retriever processes on one folder, both kinds."""
    folder = tmp_path / "index"
    build_index(folder, [guide_documents], _embed, "docs", shards=2, **{"index.chunk_words": 40, "index.overlap_words": 8})

    def start(**settings):
        cluster = make_cluster(**settings)
        cluster.start_gateway()
        cluster.start_retriever(folder)
        cluster.start_retriever(folder)
        cluster.wait_workers(8)
        return cluster

    start.folder = folder
    return start


@pytest.fixture
def changer(tmp_path, embed):
    made = []

    def start(folder, **settings):
        made.append(Changer(folder, tmp_path / "changes.log", **{"embed.url": embed.url, **settings}))
        return made[-1]

    yield start
    for one in made:
        if one.popen.poll() is None:
            one.kill()


def test_added_replaced_deleted(served, changer):
    cluster, changes = served(), changer(served.folder)
    one, other = word(), word()
    changes.change({"id": "new", "title": "News", "text": f"The {one} valve opens at nine bar.", "year": 2031})
    for _ in range(8):  # whichever replica answers
        for kinds in (["lexical"], ["dense"], ["dense", "lexical"]):
            found = cluster.search(f"{one} valve", k=3, kinds=kinds)["passages"]
            assert found[0]["text"] == f"The {one} valve opens at nine bar.", kinds
    changes.change({"id": "new", "title": "News", "text": f"The {other} valve opens at ten bar."})
    for _ in range(8):
        texts = [passage["text"] for passage in cluster.search(f"{one} {other} valve", k=3)["passages"]]
        assert texts[0] == f"The {other} valve opens at ten bar."
        assert not any(one in text for text in texts)
    changes.change({"delete": "new"})
    for _ in range(8):
        assert "new" not in docs(cluster, f"{one} {other} valve", k=10)
    changes.end()


def test_a_document_of_the_build_is_replaced_and_deleted(served, changer):
    cluster, changes = served(), changer(served.folder)
    everything = docs(cluster, "pump", k=100)
    victim = docs(cluster, "What pressure does the Kestrel pump run at?", k=1)[0]
    count = everything.count(victim)
    assert count > 0
    changes.change({"id": victim, "text": "Nothing is said of it any more."})
    assert docs(cluster, "nothing is said any more", k=100).count(victim) == 1
    changes.change({"delete": victim})
    left = docs(cluster, "What pressure does the Kestrel pump run at?", k=100)
    assert victim not in left and len(left) == len(everything) - count
    source = cluster.search("pump", k=1)["passages"][0]["source"]
    changes.change({"delete_source": source})
    assert all(p["source"] != source for p in cluster.search("pump", k=100)["passages"])
    changes.end()


def test_filters_hold_for_what_was_added(served, changer):
    cluster, changes = served(), changer(served.folder)
    name = word()
    changes.change(*[{"id": f"n{at}", "text": f"{name} number {at}", "year": 3000 + at} for at in range(40)])
    known = {"field": "year", "gte": 3030}  # a field that no passage had before
    until(
        lambda: cluster.post("/v1/search", {"question": name, "filter": known}).status == 200, "the field is known"
    )
    for kinds in (["lexical"], ["dense"]):
        late = docs(cluster, name, k=100, kinds=kinds, filter={"field": "year", "gte": 3030})
        assert sorted(late) == sorted(f"n{at}" for at in range(30, 40)), kinds
        one = {"and": [{"field": "year", "eq": 3007}, {"not": {"field": "id", "prefix": "x"}}]}
        assert docs(cluster, name, k=100, kinds=kinds, filter=one) == ["n7"]
    changes.change({"delete": "n33"}, {"id": "n7", "text": f"{name} seven", "year": 1})
    late = docs(cluster, name, k=100, filter={"field": "year", "gte": 3030})
    assert sorted(late) == sorted(f"n{at}" for at in range(30, 40) if at != 33)
    assert docs(cluster, name, k=100, filter={"field": "year", "eq": 3007}) == []
    changes.end()


def test_what_is_wrong_with_a_change_is_said(served, changer):
    changes = changer(served.folder)
    last = changes.send(
        {"text": "no id"},
        {"id": "x" * 600, "text": "long"},
        {"id": "a", "text": "short vector", "vector": [1, 2]},
        {"id": "b"},
        {"delete": ["a"]},
        {"id": "good", "text": "This one is good."},
    )
    changes.popen.stdin.write(b"no json\n")
    changes.popen.stdin.flush()
    answers = [changes.wait(line) for line in range(1, last + 2)]
    assert [("error" in answer) for answer in answers] == [True] * 5 + [False, True]
    for answer, says in zip(answers, ("id", "512", "2 numbers", "text", "string", "", "JSON")):
        assert says in answer.get("error", ""), answer
    changes.end(status=1)


# ---- what a gateway remembers --------------------------------------------------------------------------


def test_caches_give_back_nothing_deleted(served, changer):
    """Passages, semantic cache, embeddings, drafts: everything that a gateway keeps, under changes."""
    cluster = served(**CACHES, **{"cache.semantic": 0.9, "cache.answers_mb": 16, "cluster.announce_ms": 30000})
    cluster.start_generator()
    cluster.wait_workers(9)
    changes = changer(served.folder)
    for turn in range(12):
        name = word()
        question = f"What is said of {name}"
        changes.change({"id": name, "text": f"Of {name} much is said, and not only here."})
        session = f"session-{name}"
        assert cluster.post("/v1/draft", {"question": question, "draft": session}).status == 200
        assert docs(cluster, question)[0] == name
        assert docs(cluster, question)[0] == name
        changes.change({"delete": name})
        # at once: announcements come only twice a minute here
        near = cluster.search(f"{question}, said?")
        same = cluster.search(question)
        drafted = cluster.ask({"question": question, "draft": session})
        for passages in (near["passages"], same["passages"], drafted.one("sources").data["passages"]):
            assert name not in [passage["doc"] for passage in passages], turn
    changes.end()


def test_what_did_not_change_comes_from_the_cache(served, changer):
    cluster = served(**CACHES)
    changes = changer(served.folder)
    changes.change({"id": "one", "text": "One thing."})
    assert cluster.search("one thing of many")["timings"].get("retrieval") is None
    until(
        lambda: cluster.search("one thing of many")["timings"].get("retrieval") == "cache",
        "the passages are in the cache, and used",
    )
    changes.change({"id": "two", "text": "Another thing."})
    assert cluster.search("one thing of many")["timings"].get("retrieval") is None
    changes.end()


# ---- kills ---------------------------------------------------------------------------------------------


def state_of(acknowledged):
    """{id: text or None} by the changes that were acknowledged, in order."""
    state = {}
    for change in acknowledged:
        state[change.get("id") or change["delete"]] = change.get("text")
    return state


def some_changes(rng, name, count):
    for _ in range(count):
        one = f"{name}-{rng.randrange(30)}"
        if rng.random() < 0.3:
            yield {"delete": one}
        else:
            yield {"id": one, "text": f"{name} has {word()} and {word()}"}


def check_state(cluster, name, acknowledged, maybe):
    """What was acknowledged is in force; of what was not, each change is or is not, in order."""
    state = state_of(acknowledged)
    found = {p["doc"]: p["text"] for p in cluster.search(name, k=100, kinds=["lexical"])["passages"] if name in p["text"]}
    later = {}
    for change in maybe:
        later.setdefault(change.get("id") or change["delete"], []).append(change.get("text"))
    for one in set(state) | set(found):
        assert found.get(one) in [state.get(one), *later.get(one, [])], (one, state.get(one), found.get(one))
    return found


def test_a_writer_killed_at_random_moments(served, changer):
    cluster = served()
    rng, name = random.Random(7), word()
    acknowledged = []
    for turn in range(12):
        changes = changer(served.folder, **{"index.merge_changes": 25})
        batch = list(some_changes(rng, name, 60))
        changes.send(*batch)
        answered = rng.randrange(1, 60)
        until(lambda: len(changes.answers) >= answered or None, f"{answered} answers")
        changes.kill()
        done = [change for at, change in enumerate(batch, 1) if at in changes.answers]
        assert all("change" in changes.answers[at] for at in range(1, len(done) + 1))
        acknowledged += done
        found = check_state(cluster, name, acknowledged, batch[len(done) :])
        # what was found once is in force from now on
        acknowledged += [
            {"id": one, "text": text} if text else {"delete": one}
            for one in state_of(acknowledged + batch)
            for text in [found.get(one)]
        ]
    done = index(["--merge"], served.folder)
    assert done.returncode == 0, done.stderr
    generation = (served.folder / "CURRENT").read_text().strip()
    until(
        lambda: {w["generation"].split("+")[0] for w in cluster.workers() if w["kind"] != "generator"} == {generation},
        "the merged generation is served",
    )
    check_state(cluster, name, acknowledged, [])
    for process in cluster.processes:
        if process.name.startswith("ragline-retriever"):
            process.kill()
    cluster.start_retriever(served.folder)
    cluster.wait_workers(4)
    check_state(cluster, name, acknowledged, [])


def test_a_torn_end_of_the_log_is_cut_and_damage_is_named(served, changer, guide_documents, embed):
    cluster = served()
    changes = changer(served.folder)
    changes.change({"id": "one", "text": "The first one of three."})
    changes.change({"id": "two", "text": "The second one of three."})
    changes.end()
    log = sorted((served.folder / "changes").glob("*.log"))[-1]
    whole = log.read_bytes()
    with open(log, "ab") as out:
        out.write(b"RLCF" + whole[20:60])
    changes = changer(served.folder)
    changes.change({"id": "three", "text": "The third one of three."})
    changes.end()
    assert sorted(docs(cluster, "one of three", k=3, kinds=["lexical"])) == ["one", "three", "two"]
    assert log.read_bytes().startswith(whole)
    with open(log, "r+b") as out:
        out.seek(len(whole) - 8)
        out.write(b"rubbish!")
    done = index(["--delete", "one"], served.folder)
    assert done.returncode == 2 and log.name in done.stderr and "damaged at byte" in done.stderr
    build_index(served.folder, [guide_documents], embed, "docs", shards=2)  # as it says
    until(lambda: docs(cluster, "What pressure does the Kestrel pump run at?", k=1), "the new build")
    changes = changer(served.folder)
    changes.change({"id": "four", "text": "The fourth one of three."})
    assert docs(cluster, "fourth one of three", k=1, kinds=["lexical"]) == ["four"]
    changes.end()
    assert not log.exists()


# ---- merging -------------------------------------------------------------------------------------------


def test_changes_are_merged_while_they_are_asked_for(served, changer):
    cluster = served()
    changes = changer(served.folder, **{"index.merge_changes": 50})
    before = (served.folder / "CURRENT").read_text()
    name, there = word(), set()
    rng = random.Random(3)

    def turn(at):
        one = f"m{at}"
        changes.change({"id": one, "text": f"{name} and {word()}"})
        there.add(one)
        if rng.random() < 0.4:
            gone = rng.choice(sorted(there))
            there.discard(gone)
            changes.change({"delete": gone})
        found = docs(cluster, name, k=100, kinds=["lexical"], filter={"field": "id", "prefix": "m"})
        assert set(found) == there

    for at in range(70):
        turn(at)
    until(lambda: (served.folder / "CURRENT").read_text() != before, "a new generation")
    for at in range(70, 90):
        turn(at)
    changes.end()


def test_a_rebuild_replaces_what_was_changed(served, changer, guide_documents, embed):
    cluster = served()
    changes = changer(served.folder)
    victim = docs(cluster, "What pressure does the Kestrel pump run at?", k=1)[0]
    changes.change({"delete": victim}, {"id": "new", "text": "Something new."})
    changes.end()
    build_index(served.folder, [guide_documents], embed, "docs", shards=2)
    until(lambda: docs(cluster, "What pressure does the Kestrel pump run at?", k=1) == [victim], "the new build")
    assert "new" not in docs(cluster, "something new", k=100)


# ---- files and folders -----------------------------------------------------------------------------------


def test_files_are_added_and_deleted(served, embed, tmp_path):
    cluster = served()
    name = word()
    more = tmp_path / "more.md"
    more.write_text(f"# More\n\nOf {name} there is more to say.\n")
    done = index(["--add", more], served.folder, **{"embed.url": embed.url})
    assert done.returncode == 0, done.stderr
    assert docs(cluster, name, k=1, kinds=["lexical"]) == [str(more)]  # it is not below what was built
    done = index(["--delete-source", more], served.folder)
    assert done.returncode == 0 and "deleted" in done.stdout, done.stderr
    assert str(more) not in docs(cluster, name, k=10)
    assert index(["--delete"], served.folder).returncode == 2
    assert index(["--add", more, "--sync"], served.folder).returncode == 2


def test_a_folder_is_synchronised(make_cluster, embed, tmp_path):
    folder, index_folder = tmp_path / "notes", tmp_path / "index"
    names = {key: word() for key in ("a", "b", "c", "d", "e")}
    documents.write(folder, {f"{key}.md": f"# {key}\n\nOf {names[key]} it is said.\n" for key in "abc"})
    build_index(index_folder, [folder], embed, "docs", shards=2)
    cluster = make_cluster()
    cluster.start_gateway()
    cluster.start_retriever(index_folder)
    cluster.wait_workers(4)

    def sync():
        asked = len(embed.requests)
        done = index(["--sync", folder], index_folder, **{"embed.url": embed.url})
        assert done.returncode == 0, done.stderr
        return done.stdout, len(embed.requests) - asked

    said, asked = sync()  # the first time everything is read, and found to be there
    assert "0 documents put, 0 deleted, 3 read" in said and asked == 0
    (folder / "b.md").write_text(f"# b\n\nOf {names['d']} it is said now.\n")
    (folder / "c.md").unlink()
    (folder / "e.md").write_text(f"# e\n\nOf {names['e']} it is said.\n")
    said, asked = sync()
    assert "2 documents put, 1 deleted" in said and asked > 0
    assert docs(cluster, names["a"], k=1, kinds=["lexical"]) == ["a.md"]
    assert docs(cluster, names["d"], k=1, kinds=["lexical"]) == ["b.md"]
    assert docs(cluster, names["e"], k=1, kinds=["lexical"]) == ["e.md"]
    assert docs(cluster, names["b"], k=1, kinds=["lexical"]) == []
    assert docs(cluster, names["c"], k=1, kinds=["lexical"]) == []
    said, asked = sync()
    assert "0 documents put, 0 deleted, 0 read" in said and asked == 0
    other = tmp_path / "other"  # a build of something else takes all of it out of the index
    documents.write(other, {"o.md": "# o\n\nOf other things.\n"})
    build_index(index_folder, [other], embed, "docs", shards=2)
    said, asked = sync()
    assert "3 documents put, 0 deleted" in said
    for file in folder.iterdir():
        file.unlink()
    done = index(["--sync", folder], index_folder, **{"embed.url": embed.url})
    assert done.returncode == 1 and "is it mounted" in done.stderr
    assert docs(cluster, names["a"], k=1, kinds=["lexical"]) == [str(folder / "a.md")]
