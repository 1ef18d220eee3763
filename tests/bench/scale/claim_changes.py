"""Changes under questions: adds and deletes, 100 a second; found soon, never again, and nothing lost by a kill."""

import concurrent.futures
import json
import random
import shutil
import subprocess
import threading
import time

from harness import http
from harness.claims import Claim
from harness.process import environment
from harness.wait import until
from parts import House, sleep_until

DIMENSION, WITHIN_S, RATE, ASKED = 384, 5, 100, 20
MASK = (1 << 64) - 1


def vector_of(text):
    """What the stand-in for an embedding server makes of a text (text_vector in tests/bench/lib/text.c)."""
    state = 0xCBF29CE484222325
    for byte in text.encode():
        state = (state ^ byte) * 0x100000001B3 & MASK
    numbers = []
    for _ in range(DIMENSION):
        value = -1.5
        for _ in range(3):
            state = state + 0x9E3779B97F4A7C15 & MASK
            z = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & MASK
            z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK
            value += ((z ^ z >> 31) >> 11) / 2**53
        numbers.append(value)
    length = sum(number * number for number in numbers) ** 0.5
    return [round(number / length, 6) for number in numbers]


def question_of(number):
    return f"where is zu{number}kan?"  # a word that only this document has, and a vector that is only its own


def document(number):
    text = f"This is zu{number}kan, which was added while others were asking."
    return {"id": f"new-{number}", "text": text, "vector": vector_of(question_of(number)), "n": 2_000_000 + number}


class Writer:
    """ragline-index --changes: lines in, lines back; what was answered is in force."""

    def __init__(self, shop, folder, on_answer):
        words = shop.command(folder, None, "--changes")
        with open(shop.folder / "changes.log", "ab") as log:
            self.popen = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                                          env=environment(), text=True)  # fmt: skip
        self.sent, self.on_answer = [], on_answer
        self.wrong = []
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        for line in self.popen.stdout:
            answer = json.loads(line)
            if "error" in answer:
                self.wrong.append(answer["error"])
            else:
                self.on_answer(*self.sent[answer["line"] - 1])

    def send(self, what, number, line):
        self.sent.append((what, number, time.monotonic()))
        self.popen.stdin.write(line + "\n")
        self.popen.stdin.flush()

    def end(self, kill=False):
        if kill:
            self.popen.kill()
        else:
            self.popen.stdin.close()
        self.popen.wait(60)
        self.thread.join(60)


class Story:
    """What was added and deleted, and what questions about it find."""

    def __init__(self, house, base):
        self.url, self.base = house.gateways[0].url, base
        self.chance = random.Random(7)
        self.alive, self.gone, self.gone_base = {}, set(), set()
        self.seen_after, self.late, self.back = [], 0, 0
        self.looking = True  # for each change, once it is acknowledged
        self.lock = threading.Lock()
        self.pool = concurrent.futures.ThreadPoolExecutor(4)
        self.checks = []

    def found(self, number, kind="lexical"):
        """Whether a document that was added is found by its own word, or by its own vector."""
        body = {"question": question_of(number), "collection": "scale", "kinds": [kind], "k": 3}
        return self._has(body, f"new-{number}")

    def found_base(self, row):
        condition = {"field": "n", "eq": row * 777767 % 1_000_000}
        body = {"question": "any of them", "collection": "scale", "kinds": ["dense"], "filter": condition}
        return self._has(body, f"row-{row}")

    def _has(self, body, name):
        answer = http.call(self.url, "POST", "/v1/search", body)
        assert answer.status == 200, answer.body
        return any(passage["doc"].split("#")[0] == name for passage in answer.json()["passages"])

    def next(self, number, short_of_base):
        """A change: (what, number, line)."""
        kind = self.chance.random()
        with self.lock:
            known = list(self.alive)[:50] if kind < 0.2 else []
        if known:
            victim = self.chance.choice(known)
            return "delete", victim, json.dumps({"delete": f"new-{victim}"})
        if kind < 0.33 and len(self.gone_base) < short_of_base:
            row = self.chance.randrange(self.base)
            return "delete_base", row, json.dumps({"delete": f"row-{row}"})
        return "add", number, json.dumps(document(number))

    def answered(self, what, number, sent):
        """Called when a change is acknowledged."""
        with self.lock:
            if what == "add":
                self.alive[number] = sent
            elif what == "delete":
                self.alive.pop(number, None)
                self.gone.add(number)
            else:
                self.gone_base.add(number)
        if self.looking:
            self.checks.append(self.pool.submit(self._check, what, number, sent))

    def _check(self, what, number, sent):
        if what == "delete":
            self.back += self.found(number) or self.found(number, "dense")
        elif what == "delete_base":
            self.back += self.found_base(number)
        else:
            while not self.found(number, "dense" if number % 2 else "lexical"):
                if number in self.gone:
                    return  # deleted before it was looked for
                if time.monotonic() - sent > WITHIN_S:
                    self.late += 1
                    return
                time.sleep(0.02)
            self.seen_after.append(time.monotonic() - sent)

    def settle(self):
        for check in self.checks:
            check.result(120)
        self.checks = []

    def all_of_it(self):
        """(acknowledged adds that are not found, acknowledged deletes that are)"""
        with self.lock:
            alive, gone, base = list(self.alive), list(self.gone), list(self.gone_base)
        lost = sum(not each for each in self.pool.map(self.found, alive))
        back = sum(self.pool.map(self.found, gone)) + sum(self.pool.map(self.found_base, base))
        return lost, back


def p99(house, seconds):
    """ms of questions in both kinds, some a second, beside whatever else goes on."""
    found = house.load(0, "search", streams=4, rate=ASKED, seconds=seconds, k=8).result()
    assert found["failed"] == 0, found["faults"]
    return found["total_ms"]["p99"]


def change(shop, story, folder, seconds):
    """RATE changes a second for so long."""
    writer = Writer(shop, folder, story.answered)
    began = time.monotonic()
    for number in range(int(seconds * RATE)):
        sleep_until(began + number / RATE)
        writer.send(*story.next(number, story.base // 10))
    took = time.monotonic() - began
    return writer, len(writer.sent) / took


def run(shop, short=False, say=print):
    size, seconds = (5_000, 5) if short else (100_000, 60)
    folder = shop.folder / "changes"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(shop.built(size, say)["folder"], folder)
    with House() as house:
        house.start_embed(embed_ms=0)
        house.start_gateways(**{"gateway.soft_ms": 8000, "gateway.hard_ms": 9000, "cache.passages_mb": 0})
        retriever = house.start_retriever(folder)
        house.wait_ready(2, 60)
        story = Story(house, size)
        p99(house, 2)
        before = p99(house, 5 if short else 20)
        with concurrent.futures.ThreadPoolExecutor(1) as beside:
            asked = beside.submit(p99, house, seconds)
            writer, rate = change(shop, story, folder, seconds)
            during = asked.result()
        story.settle()
        say(f"  {rate:.0f} changes a second; added passages found after {max(story.seen_after, default=0):.2f} s at most;"
            f" p99 {before:.1f} ms before, {during:.1f} ms meanwhile; wrong: {writer.wrong[:3]}")  # fmt: skip
        late, back = story.late, story.back
        story.looking = False  # the retriever goes, too
        for number in range(1_000_000, 1_000_000 + RATE):  # and then nobody waits for their answers
            writer.send("add", number, json.dumps(document(number)))
        writer.end(kill=True)
        retriever.kill()
        until(lambda: not house.gateways[0].ready(), "the retriever is gone", 30)
        house.start_retriever(folder, name="retriever-again")
        house.wait_ready(2, 60)
        story.settle()
        lost, returned = story.all_of_it()
    shutil.rmtree(folder)
    say(f"  {len(story.alive)} added, {len(story.gone) + len(story.gone_base)} deleted")
    return [
        Claim("changes a second that were asked for", rate, 0.95 * RATE, at_most=False),
        Claim("  refused", len(writer.wrong), 0, strict=True),
        Claim(f"  added passages not found within {WITHIN_S} s", late, 0, strict=True),
        Claim("  deleted ones found after the acknowledgement", back, 0, strict=True),
        Claim("  p99 of questions, to that without changes", during / before, 2, "x"),
        Claim("killed and started again: acknowledged adds lost", lost, 0, strict=True),
        Claim("  acknowledged deletes that are back", returned, 0, strict=True),
    ]
