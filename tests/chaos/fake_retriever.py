"""Retrievers that sleep instead of searching: what a house of many machines looks like from the gateway.

usage: fake_retriever.py HUB[,HUB…]      JSON lines on standard input, an answer to each on standard output

  [{"worker":"a","shard":0,"shards":1,"ms":2,"share":0.05,"slow_ms":300,"serial":false}, …]   these are there
  {"set":{"a":{"share":1}}}        from now on
  {"counts":true}                  {"a":{"asked":…,"cancelled":…,"answered":…}}

Optional: `collection`; `best`, the score of the best hit; `words` a passage (a question has passages of its own then); `bytes` that each
passage is longer.

A query takes `ms`, or `slow_ms` for a `share` of them; with `serial` one query waits for the one before. With `port`
its tasks come there, with `tasks` it announces that endpoint instead of its own (a proxy's).
"""

import heapq
import json
import os
import pathlib
import random
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))

import zmq  # noqa: E402
from harness.wire import announcement, message, unpack  # noqa: E402

PERIOD_S = 0.25
# What gateways are told of the period: these never die, and one process that plays many of them may be held up by
# whatever else the machine does.
SAID_PERIOD_MS = 2000
HITS = 10
THINGS = "pump valve gauge boiler filter turbine piston gasket nozzle burner".split()


class Worker:
    def __init__(self, context, poller, settings):
        self.shard, self.shards, self.ms, self.share, self.slow_ms, self.serial = 0, 1, 1.0, 0.0, 0.0, False
        self.port, self.tasks = 0, None
        self.collection, self.best, self.words, self.bytes = "chaos", 9.0, 0, 0
        self.__dict__.update(settings)
        self.asked = self.cancelled = self.answered = 0
        self.free_at = self.answered_at = 0.0
        self.waiting = set()
        self.random = random.Random(self.worker)
        self.socket = context.socket(zmq.PULL)
        self.socket.rcvhwm = 0
        port = self.port or self.socket.bind_to_random_port("tcp://127.0.0.1")
        self.endpoint = f"tcp://127.0.0.1:{port}"
        if self.port:
            self.socket.bind(self.endpoint)
        poller.register(self.socket, zmq.POLLIN)
        self.passages = [
            {"id": 1 + n, "doc": f"d{self.shard}-{n}", "title": "A fake", "text": f"passage {n} of shard {self.shard}" + " pump" * (self.bytes // 5),
             "start": 0, "end": 20, "hash": 1000 * self.shard + n, "score": self.best - n / 2 - self.shard / 1000}
            for n in range(HITS)
        ]  # fmt: skip

    def announce(self, hubs):
        for route, hub in enumerate(hubs):
            hub.send(
                announcement(self.worker, tasks=self.tasks or self.endpoint, route=route, shard=self.shard, shards=self.shards,
                             collection=self.collection, slots=8, period_ms=SAID_PERIOD_MS),  # fmt: skip
                zmq.NOBLOCK,
            )

    def take(self, now, due):
        """Reads what is there; puts (when, task…) into `due`."""
        while True:
            try:
                frame = self.socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                return
            for name, fields in unpack(frame):
                if name == "search":
                    self.asked += 1
                    took = (self.slow_ms if self.random.random() < self.share else self.ms) / 1000
                    begun = max(now, self.free_at) if self.serial else now
                    self.free_at = begun + took
                    key = (fields.get("route", 0), fields["task"])
                    self.waiting.add(key)
                    heapq.heappush(due, (begun + took, key, self.worker, fields["k"], now, begun, fields.get("text", "")))
                elif name == "cancel":
                    key = (fields.get("route", 0), fields["task"])
                    self.cancelled += key in self.waiting
                    self.waiting.discard(key)

    def found(self, text):
        """The passages; those of one question where they have so many words."""
        if not self.words:
            return self.passages
        out = []
        for passage in self.passages:
            draw = random.Random(f"{text} {passage['doc']} {self.collection}")
            words = " ".join(f"{draw.choice(THINGS)} {draw.randrange(1000)}" for _ in range(self.words // 2))
            # a set of its own for each question: they are told apart by their hashes
            out.append({**passage, "text": words, "end": len(words), "hash": draw.getrandbits(60), "title": self.collection})
        return out

    def answer(self, hubs, key, k, arrived, begun, now, text):
        if key not in self.waiting:
            return
        self.waiting.discard(key)
        self.answered += 1
        if self.serial:  # where this process was late, the one before took longer than it should have
            begun = min(now, max(begun, self.answered_at))
        self.answered_at = now
        hubs[key[0]].send(
            message("hits", worker=self.worker, task=key[1], generation="g-000001", bound=20.0,
                    queue_us=int(1e6 * (begun - arrived)), work_us=int(1e6 * (now - begun)),
                    hits=self.found(text)[:k])  # fmt: skip
        )


def main():
    context = zmq.Context()
    poller = zmq.Poller()
    poller.register(sys.stdin.fileno(), zmq.POLLIN)
    hubs = []
    for endpoint in sys.argv[1].split(","):
        hub = context.socket(zmq.PUSH)
        hub.linger = 0
        hub.connect(endpoint)
        hubs.append(hub)
    workers, due, told = {}, [], b""
    next_announce = time.monotonic()
    while True:
        now = time.monotonic()
        if now >= next_announce:
            next_announce = now + PERIOD_S
            for worker in workers.values():
                try:
                    worker.announce(hubs)
                except zmq.Again:
                    pass
        while due and due[0][0] <= now:
            _, key, name, k, arrived, begun, text = heapq.heappop(due)
            workers[name].answer(hubs, key, k, arrived, begun, now, text)
        wake = min(next_announce, due[0][0] if due else next_announce)
        wait = wake - time.monotonic()
        # whole milliseconds are all that poll knows: the rest is looked at without sleeping
        ready = dict(poller.poll(max(0, int(wait * 1000)) if wait > 0 else 0))
        now = time.monotonic()
        for worker in workers.values():
            if worker.socket in ready:
                worker.take(now, due)
        if sys.stdin.fileno() in ready:
            data = os.read(sys.stdin.fileno(), 65536)
            if not data:
                return
            told += data
            while b"\n" in told:
                line, told = told.split(b"\n", 1)
                print(json.dumps(obey(json.loads(line), workers, context, poller)), flush=True)


def obey(words, workers, context, poller):
    if isinstance(words, list):
        workers.update({one["worker"]: Worker(context, poller, one) for one in words})
    elif "set" in words:
        for name, settings in words["set"].items():
            workers[name].__dict__.update(settings)
    return {
        name: {"asked": worker.asked, "cancelled": worker.cancelled, "answered": worker.answered}
        for name, worker in workers.items()
    }


if __name__ == "__main__":
    main()
