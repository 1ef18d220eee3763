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

pytestmark = pytest.mark.standin

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


def ids(cluster, question, **fields):
    answer = cluster.search(question, **fields)
    assert answer["coverage"]["answered"] == answer["coverage"]["of"], answer["coverage"]
    return [passage["document"] if "document" in passage else passage["doc"] for passage in answer["passages"]]


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


def test_added_replaced_deleted(served, embed, tmp_path):
    cluster = served()
    changer = Changer(served.folder, tmp_path / "changes.log", **{"embed.url": embed.url})
    one, other = word(), word()
    changer.change({"id": "new", "title": "News", "text": f"The {one} valve opens at nine bar.", "year": 2031})
    found = cluster.search(f"{one} valve", k=3)
    print(json.dumps(found, indent=1)[:1500])
    assert found["passages"][0]["text"] == f"The {one} valve opens at nine bar."
    changer.change({"id": "new", "title": "News", "text": f"The {other} valve opens at ten bar."})
    for _ in range(8):
        texts = [passage["text"] for passage in cluster.search(f"{one} {other} valve", k=3)["passages"]]
        assert texts[0] == f"The {other} valve opens at ten bar."
        assert not any(one in text for text in texts)
    changer.change({"delete": "new"})
    for _ in range(8):
        texts = [passage["text"] for passage in cluster.search(f"{one} {other} valve", k=10)["passages"]]
        assert not any(one in text or other in text for text in texts)
    changer.end()
