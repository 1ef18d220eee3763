"""Batching: 64 questions at once in one retriever with one thread, beside one at a time and FAISS alone."""

import os
import random
import statistics
import subprocess
import time

import zmq
from parts import Claim, House, environment, program
from harness.wire import message, unpack, vector

DIMENSION, AT_ONCE, K = 384, 64, 50


class Asker:
    """A gateway's side of the retriever's sockets, and nothing else of it: what is measured is the search stage."""

    def __init__(self, hub):
        self.context = zmq.Context()
        self.hub = self.context.socket(zmq.PULL)
        self.hub.rcvtimeo = 20_000
        self.hub.bind(hub)
        self.tasks, self.count = None, 0
        self.random = random.Random(1)

    def join(self):
        """Waits for the retriever's announcement."""
        while self.tasks is None:
            for name, fields in unpack(self.hub.recv()):
                if name == "announce" and fields["kind"] == "dense" and fields.get("tasks"):
                    self.tasks = self.context.socket(zmq.PUSH)
                    self.tasks.linger = 0
                    self.tasks.connect(fields["tasks"])
                    self.tasks.send(message("welcome", gateway="asker", route=0, tokens="tcp://127.0.0.1:1"))

    def vectors(self, count):
        out = []
        for _ in range(count):
            values = [self.random.gauss(0, 1) for _ in range(DIMENSION)]
            size = sum(value * value for value in values) ** 0.5
            out.append(vector([value / size for value in values]))
        return out

    def ask(self, vectors):
        """Sends all at once and awaits all hits; returns the seconds that took and each task's time at work in µs."""
        frames = []
        for one in vectors:
            self.count += 1
            frames.append(message("search", gateway="asker", task=self.count, request="r", vector=one, k=K,
                                  deadline_ms=20_000))  # fmt: skip
        begun = time.monotonic()
        for frame in frames:
            self.tasks.send(frame)
        answers = []
        while len(answers) < len(frames):
            answers.append(self.hub.recv())
            if len(answers[-1]) < 1000:  # an announcement
                answers = [answer for answer in answers if unpack(answer)[0][0] == "hits"]
        took = time.monotonic() - begun
        work = []
        for answer in answers:
            for name, fields in unpack(answer):
                if name == "hits":
                    assert len(fields["hits"]) == K, len(fields["hits"])
                    work.append((fields.get("queue_us", 0), fields.get("work_us", 0)))
        return took, work

    def close(self):
        self.context.destroy(linger=0)


class Direct:
    """FAISS called directly on the same index, a call whenever asked."""

    def __init__(self, index):
        faiss = index / (index / "CURRENT").read_text().strip() / "shard-0" / "vectors.faiss"
        self.popen = subprocess.Popen([program("bench/direct"), str(faiss), str(K), "0"], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, text=True,
                                      env=environment({"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}))  # fmt: skip

    def ask(self):
        """The ms of one call."""
        self.popen.stdin.write("\n")
        self.popen.stdin.flush()
        return int(self.popen.stdout.readline()) / 1000

    def close(self):
        self.popen.kill()
        self.popen.communicate()


def stage_us(work):
    """The search stage of questions that came together: until the last one was searched."""
    return max(queue + at_work for queue, at_work in work)


def run(short=False, say=print):
    passages, rounds, pairs = (4_000, 2, 20) if short else (50_000, 10, 20)
    with House() as house:
        say(f"  building an index of {passages:,} x {DIMENSION}, flat")
        index = house.make_index(passages=passages, words=10, **{"index.factory": "Flat"})
        asker = Asker(house.gateways[0].hub)
        house.closers.append(asker.close)
        house.start_retriever(index, **{"retriever.kinds": "dense", "retriever.threads": 1})
        asker.join()
        asker.ask(asker.vectors(AT_ONCE))
        faiss = Direct(index)
        house.closers.append(faiss.close)
        faiss.ask()
        lone, together, ends_lone, ends_together, direct = [], [], [], [], []
        for _ in range(rounds):
            # in pairs: whatever else the machine does meets both alike
            for one in asker.vectors(pairs):
                time.sleep(0.02)
                direct.append(faiss.ask())
                time.sleep(0.02)
                took, work = asker.ask([one])
                lone.append(stage_us(work) / 1000)
                ends_lone.append(took * 1000)
            took, work = asker.ask(asker.vectors(AT_ONCE))
            together.append(stage_us(work) / 1000)
            ends_together.append(took * 1000)
        house.check_alive()
    lone_ms, all_ms, direct_ms = map(statistics.median, (lone, together, direct))
    more_ms = statistics.median(one - other for one, other in zip(lone, direct))
    say(f"  {os.cpu_count()} CPUs: one takes {lone_ms:.2f} ms, {AT_ONCE} at once {all_ms:.1f}; FAISS alone"
        f" {direct_ms:.2f}; with sockets {statistics.median(ends_lone):.2f} and"
        f" {statistics.median(ends_together):.1f} ms")  # fmt: skip
    return [
        Claim(f"batching: {AT_ONCE} at once, questions per second to one at a time", AT_ONCE * lone_ms / all_ms, 3.5,
              "x", at_most=False),  # fmt: skip
        Claim("  the same with the sockets", AT_ONCE * statistics.median(ends_lone) / statistics.median(ends_together),
              unit="x"),  # fmt: skip
        Claim("  a lone question, less FAISS called directly", more_ms, 0.3, "ms"),
    ]
