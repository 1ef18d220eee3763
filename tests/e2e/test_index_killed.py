"""Builds that are killed (SIGKILL) at random moments while they read, embed and write: the old index answers meanwhile,
what was embedded is not embedded again, and in the end the passages are those of a build that nobody disturbed."""

import json
import random
import re
import shutil
import time

from fakes import embed as fake_embed
from harness.cluster import build_index, options
from harness.documents import GUIDE, write
from harness.process import Process
from harness.wait import until

KILLS = 6
DOCUMENTS = 150
# what each part of an index says that depends on the passages and their order alone
SAME = ("passages.bin", "passages.idx", "fields.bin", "vectors.f32")


def current(folder):
    return (folder / "CURRENT").read_text().strip()


def contents(folder):
    """Sizes and checksums of what must be the same after every build of the same documents."""
    said = json.loads((folder / current(folder) / "manifest.json").read_text())
    files = [
        (number, file["name"], file["bytes"], file["xxh64"])
        for number, shard in enumerate(said["shards"])
        for file in shard["files"]
        if file["name"] in SAME
    ]
    assert len(files) == len(SAME) * len(said["shards"]), files
    return said["documents"], said["passages"], files


def embedded_before(folder, dimension):
    """Whole records of the cache (vector_cache.h)."""
    cache = folder / "embeddings.cache"
    return max(0, cache.stat().st_size - 8) // (24 + 4 * dimension) if cache.exists() else 0


def embeddings(done):
    """How many a build says it made and reused."""
    return tuple(map(int, re.search(r"embeddings: (\d+) made, (\d+) reused", done.stdout).groups()))


def make_documents(folder):
    chance = random.Random(7)
    words = ["rope", "sail", "mast", "keel", "tide", "buoy", "chart", "helm", "winch", "anchor", "bilge", "deck"]
    for at in range(DOCUMENTS):
        text = "\n\n".join(
            f"# Part {part} of {at}\n\nEntry {at}-{part} speaks of {' '.join(chance.choices(words, k=90))}."
            for part in range(3)
        )
        (folder / f"log-{at:03}.md").write_text(text)


def test_killed_at_random_moments(tmp_path, embed, make_cluster):
    embed.always(fake_embed.slow(0.02, embed.dimension))
    old = write(tmp_path / "old-documents", GUIDE)
    build_index(tmp_path / "old", [old], embed)
    documents = tmp_path / "documents"
    documents.mkdir()
    make_documents(documents)
    settings = {"embed.batch": 16, "index.factory": "IVF8,SQ8", "index.language": "english"}
    still = build_index(tmp_path / "still", [documents], embed, shards=2, **settings)
    made, reused = embeddings(still)
    assert made >= 2 * DOCUMENTS and reused == 0
    expected = contents(tmp_path / "still")

    out = tmp_path / "out"
    shutil.copytree(tmp_path / "old", out, ignore=shutil.ignore_patterns("embeddings.cache"))
    one = make_cluster()
    one.start_gateway()
    one.start_retriever(out)
    one.wait_workers(2)
    chance = random.Random(25)
    given = {"index.out": out, "index.collection": "docs", "index.shards": 2, "embed.url": embed.url,
             "embed.model": embed.model, **settings}  # fmt: skip
    at_work = 0
    for number in range(KILLS):
        before = current(out)
        building = Process("ragline-index", [*options(given), documents], tmp_path, expect_exit=None)
        # when so many are embedded, or all and a little later, when it writes
        wanted, later = chance.uniform(0, 1.3) * made, chance.uniform(0, 0.3)
        ends = None
        while building.alive() and (ends is None or time.monotonic() < ends):
            if ends is None and embedded_before(out, embed.dimension) >= min(wanted, made):
                ends = time.monotonic() + (later if wanted >= made else 0)
            assert one.search("greasing the Kestrel")["passages"], "an index answers while another is built"
        building.kill()
        kept_at_least = embedded_before(out, embed.dimension)
        if current(out) == before:
            at_work += 1
            assert one.search("greasing the Kestrel")["passages"], "the old index answers"
        again, kept = embeddings(build_index(out, [documents], embed, shards=2, **settings))
        assert kept >= kept_at_least and again + kept == made, "what was embedded is not embedded again"
        assert contents(out) == expected, f"after kill {number}"
        assert not [path for path in out.iterdir() if path.name.endswith(".tmp")]
        until(lambda: "log-" in one.search("the winch and the anchor")["passages"][0]["doc"], "the new index answers")
        (out / "embeddings.cache").unlink()  # the next round has nothing embedded either
    assert at_work >= KILLS // 2, "most of them were at work when they were killed"
