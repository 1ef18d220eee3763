"""Builds that are killed at random moments: the old index answers meanwhile, the next build ends as if nothing had been."""

import random
import shutil
import subprocess
import time

from harness import http
from harness.claims import Claim
from harness.process import environment
from harness.wait import until
from parts import House
from workshop import to_end

OLD_FROM = 5_000_000  # rows that the new corpus has none of


def rows_of(gateway):
    """The numbers of the rows that an answer comes from; what fails or is missing is no answer."""
    answer = http.call(gateway.url, "POST", "/v1/search", {"question": "which of them are there?", "collection": "scale"})
    assert answer.status == 200, answer.body
    body = answer.json()
    assert body["coverage"]["answered"] == 2 and body["passages"], body
    return [int(passage["doc"].split("-")[1]) for passage in body["passages"]]


def is_old(gateway):
    return min(rows_of(gateway)) >= OLD_FROM


def kill_at(command, log, seconds):
    """Starts it and kills it after so long. None, or how long it took where it had ended by itself."""
    began = time.monotonic()
    with open(log, "wb") as out:
        popen = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environment())
    try:
        popen.wait(seconds)
    except subprocess.TimeoutExpired:
        popen.kill()
        popen.wait()
        return None
    return time.monotonic() - began


class Round:
    """One folder with an old index in force, one kill, one build to the end."""

    def __init__(self, shop, house, old, documents, words):
        self.shop, self.house, self.gateway = shop, house, house.gateways[0]
        self.folder, self.log = house.folder / "index", house.folder / "build.log"
        shutil.copytree(old, self.folder)
        self.command = shop.command(self.folder, documents, *words)

    def run(self, moment):
        """(how long the build took if it was not killed, whether the old index answered after the kill, what `search`
        says of the new one)"""
        retriever = self.house.start_retriever(self.folder, name=f"retriever-{time.monotonic_ns()}")
        until(lambda: is_old(self.gateway), "the old index answers", 30)
        ended = kill_at(self.command, self.log, moment)
        answered = ended is not None or is_old(self.gateway)
        to_end(self.command, self.log)
        until(lambda: not is_old(self.gateway), "the new index answers", 30)
        retriever.stop()
        self.house.processes.remove(retriever)
        until(lambda: not self.gateway.ready(), "the retriever has left", 30)
        found = self.shop.search(self.folder, 200, 100)
        shutil.rmtree(self.folder)
        return ended, answered, found


def run(shop, short=False, say=print):
    size, kills = (6_000, 3) if short else (30_000, 20)
    words = ["--index-factory", f"IVF{size // 100},SQ8"]  # whatever the size: what has most steps
    chance = random.Random(20)
    documents, before = shop.corpus(size), shop.corpus(1_000, OLD_FROM)
    still, old = shop.folder / "kills-undisturbed", shop.folder / "kills-old"
    for folder in (still, old):
        shutil.rmtree(folder, ignore_errors=True)
    to_end(shop.command(old, before), shop.folder / "kills.log")
    took, _ = to_end(shop.command(still, documents, *words), shop.folder / "kills.log")
    expected = shop.search(still, 200, 100)
    say(f"  undisturbed: {size:,} passages in {took:.1f} s, recall@10 {expected['dense']['all']['recall']:.3f}")
    killed = silent = different = 0
    apart = 0.0
    with House() as house:
        house.start_embed(embed_ms=0)
        house.start_gateways(**{"cache.passages_mb": 0})
        for _ in range(2 * kills):
            ended, answered, found = Round(shop, house, old, documents, words).run(chance.uniform(0, took))
            killed += ended is None
            took = min(took, ended or took)  # the machine had been busy when this was measured
            silent += not answered
            different += found["digest"] != expected["digest"]
            apart = max(apart, abs(found["dense"]["all"]["recall"] - expected["dense"]["all"]["recall"]))
            if killed == kills:
                break
    shop.forget(documents)
    shop.forget(before)
    for folder in (still, old):
        shutil.rmtree(folder)
    return [
        Claim("builds killed at work, at random moments", killed, kills, at_most=False, strict=True),
        Claim("  the old index did not answer", silent, 0, strict=True),
        Claim("  the next build ended with other passages or ids", different, 0, strict=True),
        Claim("  its recall@10, apart from an undisturbed one's by", apart, 0.005, strict=True),
    ]
