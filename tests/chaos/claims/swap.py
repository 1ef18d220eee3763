"""Swap under load: the index is replaced ten times while questions are asked."""

import json
import re
import threading
import time

from parts import Claim, House, until
from harness import http

SHARDS, DOCUMENTS, ASKERS = 2, 60, 3


def documents(folder, generation):
    """Each passage says of which generation it is."""
    path = folder / f"generation-{generation}.jsonl"
    with open(path, "w") as out:
        for n in range(DOCUMENTS):
            text = f"The heron gauge number {n} shows the level of the tank; this is edition E{generation}E of the book."
            out.write(json.dumps({"id": f"d{n}", "title": f"Gauge {n}", "text": text}) + "\n")
    return path


class Asker:
    """Asks one question after the other and looks at the passages of each."""

    def __init__(self, gateway, number, over):
        self.gateway, self.over, self.number = gateway, over, number
        self.asked = self.failed = self.empty = self.mixed = self.said = 0
        self.editions = []  # as they came
        self.faults = []
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.over.is_set():
            self.asked += 1
            try:
                self.ask()
            except (OSError, ValueError, KeyError, AssertionError) as why:
                self.failed += 1
                self.faults.append(repr(why)[:200])

    def ask(self):
        question = f"heron gauge {self.asked % DOCUMENTS} level"
        if self.number % 2:
            stream = http.ask(self.gateway.url, {"question": question, "k": 10})
            assert stream.head.status == 200 and "done" in stream.names(), (stream.head.status, stream.names())
            passages, coverage = stream.passages, stream.one("sources").data["coverage"]
        else:
            answer = http.call(self.gateway.url, "POST", "/v1/search", {"question": question, "k": 10})
            assert answer.status == 200, answer.body
            passages, coverage = answer.json()["passages"], answer.json()["coverage"]
        editions = {re.search(r"E(\d+)E", passage["text"]).group(1) for passage in passages}
        whole = coverage["answered"] == coverage["of"]
        self.empty += not passages
        # a question sees one generation, or the coverage says that something is missing
        self.mixed += len(editions) > 1
        self.said += not whole
        if len(editions) > 1 or not whole:
            self.faults.append(f"editions {editions}, coverage {coverage}"[:300])
        self.editions.append(max(map(int, editions), default=0))


def run(short=False, say=print):
    swaps, seconds = (3, 3) if short else (10, 60)
    with House() as house:
        house.start_llm(first_ms=5, gap_ms=1, tokens=16)
        house.start_embed(embed_ms=1)
        embed = {"embed.url": house.embed.url, "embed.model": "all-MiniLM-L6-v2"}
        index = house.index(documents(house.folder, 1), shards=SHARDS, **embed)
        house.start_gateways()
        for replica in range(2):
            house.start_retriever(index, f"retriever-{replica}")
        house.start_generator()
        house.wait_ready(2 * SHARDS * 2 + 1)
        over = threading.Event()
        askers = [Asker(house.gateways[0], number, over) for number in range(ASKERS)]
        taken_up = []
        begun = time.monotonic()
        for swap in range(swaps):
            house.index(documents(house.folder, swap + 2), shards=SHARDS, **embed)
            built = time.monotonic()
            until(
                lambda swap=swap: all(asker.editions and asker.editions[-1] == swap + 2 for asker in askers),
                f"edition {swap + 2} is answered from", 30,
            )  # fmt: skip
            taken_up.append(time.monotonic() - built)
            time.sleep(max(0.0, begun + seconds * (swap + 1) / swaps - time.monotonic()))
        over.set()
        for asker in askers:
            asker.thread.join()
        house.check_alive()
    for fault in [fault for asker in askers for fault in asker.faults][:10]:
        say(f"  fault: {fault}")
    total = {key: sum(getattr(asker, key) for asker in askers) for key in ("asked", "failed", "empty", "mixed", "said")}
    back = sum(later < sooner for asker in askers for sooner, later in zip(asker.editions, asker.editions[1:]))
    say(f"  {total['asked']} questions, {swaps} generations; taken up after {max(taken_up):.2f} s at most;"
        f" {back} answers went back to an older generation")  # fmt: skip
    return [
        Claim("swap under load: failed answers", total["failed"], 0, strict=True),
        Claim("  empty answers", total["empty"], 0, strict=True),
        Claim("  answers from two generations", total["mixed"], 0, strict=True),
        Claim("  answers whose coverage names a source that lagged", total["said"]),
    ]
