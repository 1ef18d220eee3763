"""A distributed engine (Weaviate, three nodes) behind the same retriever: as good as FAISS and Xapian, and nodes that die."""

import concurrent.futures
import contextlib
import importlib.machinery
import importlib.util
import json
import pathlib
import random
import shutil
import subprocess
import tempfile
import time

from fakes.embed import FakeEmbed
from harness import http
from harness import weaviate as engine
from harness.claims import Claim
from harness.cluster import Cluster, build_index
from harness.process import ROOT, program
from harness.wait import until
from parts import sleep_until

DIMENSION, K, RATE, SETTLED_S, BACK_S, HARD_MS = 256, 10, 50, 5, 30, 2000
KINDS = ["lexical", "dense"]


@contextlib.contextmanager
def running(cluster):
    try:
        yield cluster
    finally:
        cluster.stop()


def eval_module():
    """tests/eval/run: labelled sets and nDCG."""
    loader = importlib.machinery.SourceFileLoader("eval_run", str(ROOT / "tests/eval/run"))
    spec = importlib.util.spec_from_loader("eval_run", loader)
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def made_up(folder, size, questions):
    """A labelled set where none is given: three words of a passage ask for it."""
    folder.mkdir()
    done = subprocess.run([program("bench/clustered"), "passages", str(size)], capture_output=True, text=True, check=True)
    (folder / "corpus.jsonl").write_text(done.stdout)
    passages = [json.loads(line) for line in done.stdout.splitlines()]
    chance = random.Random(3)
    with open(folder / "queries.jsonl", "w") as queries, open(folder / "qrels.tsv", "w") as relevant:
        relevant.write("query-id\tcorpus-id\tscore\n")
        for number, passage in enumerate(chance.sample(passages, questions)):
            words = chance.sample(passage["text"].replace(".", "").split(), 3)
            queries.write(json.dumps({"id": str(number), "text": " ".join(words)}) + "\n")
            relevant.write(f"{number}\t{passage['id']}\t1\n")
    return folder


def quality(tools, cluster, asked):
    """nDCG@10 of both kinds together, the mean over the questions."""

    def rank(question):
        found = cluster.search(question, k=100, kinds=KINDS)
        assert not found["coverage"]["missing"], found["coverage"]
        return list(dict.fromkeys(passage["doc"] for passage in found["passages"]))

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        rankings = list(pool.map(rank, [question for question, _ in asked]))
    return sum(tools.ndcg(ranking, relevant) for ranking, (_, relevant) in zip(rankings, asked)) / len(asked)


class Asking:
    """Questions at a fixed rate; what became of each: (when, seconds, "whole" | "partial" | "error" | "silent")."""

    def __init__(self, cluster, asked):
        self.cluster, self.asked = cluster, [question for question, _ in asked]
        self.pool = concurrent.futures.ThreadPoolExecutor(32)
        self.pending = []
        self.told = None  # the last error

    def _ask(self, question):
        began = time.monotonic()
        try:
            answer = self.cluster.post("/v1/search", {"question": question, "k": K, "kinds": KINDS}, timeout=30)
        except OSError:
            return began, time.monotonic() - began, "silent"
        body = json.loads(answer.body)
        if answer.status != 200:
            kind = "error" if body.get("error", {}).get("message") and answer.status != 400 else "silent"
            self.told = body
        elif body["coverage"]["missing"]:
            kind, self.told = "partial", body["coverage"]
        else:
            kind = "whole" if body["passages"] else "silent"
        return began, time.monotonic() - began, kind

    def run(self, seconds):
        began = time.monotonic()
        for number in range(int(seconds * RATE)):
            sleep_until(began + number / RATE)
            self.pending.append(self.pool.submit(self._ask, self.asked[number % len(self.asked)]))

    def results(self):
        done = [each.result() for each in self.pending]
        self.pending = []
        return done


def start_again(weaviate):
    """All nodes, from what they have on disk; those that come later join the first."""
    for node in weaviate.nodes:
        node.process = None
    weaviate.nodes[0].start(weaviate.nodes)
    until(weaviate.nodes[0].gossips, "the first node listens", engine.START)
    for node in weaviate.nodes[1:]:
        node.start(weaviate.nodes)
    weaviate.wait_ready()


def nodes_die(cluster, weaviate, asked, short, say):
    asking = Asking(cluster, asked)
    asking.run(3)  # the nodes may still be at work on what they were given
    asking.results()
    asking.told = None
    asking.run(2)
    before = asking.results()
    if asking.told:
        say(f"  before any node died: {asking.told}")
    killed = time.monotonic()
    weaviate.nodes[1].process.kill()
    asking.run(SETTLED_S + (3 if short else 15))
    one = asking.results()
    for node in weaviate.nodes:
        node.process.kill()
    asking.run(2)
    none = asking.results()
    start_again(weaviate)
    ready = time.monotonic()
    last = None
    while last != "whole" and time.monotonic() < ready + BACK_S:
        last = asking._ask(asked[0][0])[2]
    back = time.monotonic() - ready

    def count(results, *kinds):
        return sum(kind in kinds for _, _, kind in results)

    late = [each for each in one if each[0] > killed + SETTLED_S]
    say(f"  one node of three killed: of {len(one)} answers {count(one, 'partial')} partial, {count(one, 'error')} errors;"
        f" none left: {count(none, 'error')} errors, {count(none, 'partial')} partial of {len(none)}, such as {asking.told}")  # fmt: skip
    return [
        Claim("questions that failed before any node died", len(before) - count(before, "whole"), 0, strict=True),
        Claim(f"one of three nodes killed: not whole after {SETTLED_S} s", len(late) - count(late, "whole"), 0, strict=True),
        Claim("  silent about what was missing before", count(one, "silent"), 0, strict=True),
        Claim("all nodes gone: neither error nor told to be partial", len(none) - count(none, "error", "partial"), 0, strict=True),
        Claim("  the longest that one waited", max(took for _, took, _ in none), HARD_MS / 1000 + 0.5, "s"),
        Claim("nodes back: used after", back, 5, "s"),
    ]


def compare(folder, tools, name, corpus, asked, weaviate, embed, say):
    """nDCG@10 of a set through FAISS and Xapian, and through the engine; the engine's cluster stays."""
    build_index(folder / name, [corpus], embed, name, work=folder)
    with running(Cluster(folder / f"{name}-local", embed=embed)) as local:
        local.settings |= {"gateway.soft_ms": 20_000, "gateway.hard_ms": 20_000}
        local.start_gateway()
        local.start_retriever(folder / name)
        local.wait_workers(2)
        ours = quality(tools, local, asked)
    weaviate.load([corpus], embed, name, folder)
    with running(engine.EngineCluster(folder / f"{name}-engine", weaviate, embed=embed)) as remote:
        remote.settings |= {"gateway.soft_ms": 20_000, "gateway.hard_ms": 20_000}
        remote.start_gateway()
        remote.start_retriever(name)
        remote.wait_workers(2)
        # the engine's nodes agree a moment later on what was loaded last
        until(lambda: not remote.search(asked[0][0], kinds=KINDS)["coverage"]["missing"], "both kinds serve the same")
        theirs = quality(tools, remote, asked)
    say(f"  {name}: nDCG@10 {ours:.4f} with FAISS and Xapian, {theirs:.4f} with the engine")
    return abs(ours - theirs)


def run(shop, short=False, say=print):
    if not engine.PROGRAM.exists():
        raise RuntimeError("Weaviate is missing: scripts/deps test")
    tools = eval_module()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="ragline-engine-"))
    folders = [pathlib.Path(data) for data in shop.data] or [made_up(folder / "words", *((300, 60) if short else (3000, 300)))]
    embed, weaviate = FakeEmbed(DIMENSION), None
    try:
        weaviate = engine.Weaviate(folder / "weaviate")
        apart, asked = [], None
        for data in folders:
            labelled = tools.Set(data)
            asked = labelled.questions(most=300)
            name = data.name.replace(".", "-")
            apart.append(compare(folder, tools, name, labelled.corpus, asked, weaviate, embed, say))
        with running(engine.EngineCluster(folder / "dying", weaviate, embed=embed)) as cluster:
            cluster.settings |= {"gateway.soft_ms": HARD_MS // 2, "gateway.hard_ms": HARD_MS, "cache.share": False,
                                 "cache.passages_mb": 0}
            cluster.start_gateway()
            cluster.start_retriever(name)
            cluster.wait_workers(2)
            claims = nodes_die(cluster, weaviate, asked, short, say)
    finally:
        if weaviate:
            weaviate.stop()
        embed.close()
        shutil.rmtree(folder, ignore_errors=True)
    return [Claim("nDCG@10 with the engine, apart from FAISS and Xapian", max(apart), 0.02, strict=True), *claims]
