"""Kill storm: workers are killed and stopped at random while 200 answers are being written."""

import random
import signal
import time

from parts import Claim, House, Watch, quarter, sleep_until

SHARDS, REPLICAS, GENERATORS = 3, 2, 3
EVERY_S, AWAY_S = 0.3, 1.0
# The memory of a gateway levels off once it has seen the most of everything at a time: in a storm of 150 s it went from
# 7.8 MB after 25 s to 8.6 after 55 and 8.8 after 150 (malloc: 5.7 MB in use, 7.7 taken from the system). In 60 s the
# second quarter is still on that slope: 1 MB of it, and as much again for what one run has more than another. The
# timelines that it keeps, 1,000 as a rule, would be filled up all the while: so they are fewer here.
GROWTH_MB, TRACES = 2, 50


class Storm:
    """Takes workers away and gives them back. A worker counts as away until every gateway shows it again."""

    def __init__(self, house, start, seed):
        self.house = house
        self.start = start  # {name: function that starts it}
        self.processes = {name: begin() for name, begin in start.items()}
        self.back = []  # (when, name, how)
        self.away = set()
        self.joining = {}  # name: the ids that its gateways knew when it came back
        self.random = random.Random(seed)
        self.killed = self.stopped = 0

    @staticmethod
    def group(name):
        return name.rsplit("-", 1)[0]

    def may_go(self, name):
        group = [other for other in self.start if self.group(other) == self.group(name)]
        away = [other for other in group if other in self.away]
        return name not in self.away and len(away) < len(group) - 1

    def take_one(self, now):
        names = [name for name in self.start if self.may_go(name)]
        if not names:
            return
        name = self.random.choice(names)
        self.away.add(name)
        if self.random.random() < 0.5:
            self.processes[name].kill()
            self.killed += 1
            self.back.append((now + AWAY_S, name, "start"))
        else:
            self.processes[name].signal(signal.SIGSTOP)
            self.stopped += 1
            self.back.append((now + AWAY_S, name, "go on"))

    def give_back(self, now):
        for entry in [entry for entry in self.back if entry[0] <= now]:
            self.back.remove(entry)
            _, name, how = entry
            if how == "start":
                self.house.processes.remove(self.processes[name])
                self.processes[name] = self.start[name]()
            else:
                self.processes[name].signal(signal.SIGCONT)
            self.joining[name] = now

    def see_who_joined(self):
        """A worker that is back is there when each gateway counts as many of its group as run."""
        if not self.joining:
            return
        seen = [gateway.workers() for gateway in self.house.gateways]
        for group in {self.group(name) for name in self.joining}:
            names = [name for name in self.start if self.group(name) == group]
            running = [name for name in names if name not in self.away or name in self.joining]
            if all(self.count(workers, group) >= len(running) * (1 if group == "generator" else 2) for workers in seen):
                for name in names:
                    if name in self.joining:
                        del self.joining[name]
                        self.away.discard(name)

    @staticmethod
    def count(workers, group):
        fresh = [worker for worker in workers if worker["state"] == "ready" and worker["last_seen_ms"] < 400]
        if group == "generator":
            return sum(worker["kind"] == "generator" for worker in fresh)
        return sum(worker["kind"] != "generator" and worker["shard"] == int(group[-1]) for worker in fresh)

    def run(self, seconds):
        begun = now = time.monotonic()
        due = begun + EVERY_S
        while now < begun + seconds:
            self.give_back(now)
            self.see_who_joined()
            if now >= due:
                due += EVERY_S
                self.take_one(now)
            sleep_until(min(due, now + 0.05))
            now = time.monotonic()
        while self.back:
            self.give_back(time.monotonic())
            time.sleep(0.05)


def run(short=False, say=print):
    streams, seconds = (40, 6) if short else (200, 60)
    with House(gateways=2) as house:
        house.start_llm(first_ms=50, gap_ms=50, tokens=64)
        house.start_embed(embed_ms=5)
        index = house.make_index(passages=600 if short else 3000, shards=SHARDS)
        house.start_gateways(**{"gateway.traces": TRACES})
        start = {
            f"shard-{shard}-{replica}": lambda shard=shard, replica=replica: house.start_retriever(
                index, f"shard-{shard}-{replica}", **{"retriever.shards": shard}
            )
            for shard in range(SHARDS)
            for replica in range(REPLICAS)
        }
        for number in range(GENERATORS):
            start[f"generator-{number}"] = lambda number=number: house.start_generator(f"generator-{number}")
        storm = Storm(house, start, seed=len(start) + seconds)
        house.wait_ready(SHARDS * REPLICAS * 2 + GENERATORS)
        lasting = {"spread_ms": 3000, "seconds": seconds + 1, "streams": streams // 2, "continuation": True}
        # what they hold once they have all that they will hold: without a storm first
        house.load(0, streams=streams, spread_ms=500, questions=1).result()
        watch = Watch(lambda: {gateway.process.name: gateway.process for gateway in house.gateways} | storm.processes)
        loads = [house.load(number, **lasting) for number in range(2)]
        storm.run(seconds)
        results = [load.result() for load in loads]
        memory = watch.end()
        house.check_alive()
        retries = sum(gateway.metrics().get("ragline_retries_total", 0) for gateway in house.gateways)
    for result in results:
        for fault in result["faults"]:
            say(f"  fault: {fault}")
    asked, whole, failed = (sum(result[key] for result in results) for key in ("questions", "whole", "failed"))
    say(f"  {storm.killed} killed, {storm.stopped} stopped, {asked} questions, {retries:.0f} tasks went elsewhere,"
        f" first token p99 {max(r['first_token_ms']['p99'] for r in results):.0f} ms")  # fmt: skip
    for name, samples in memory.items():
        if name.startswith("gateway"):
            say(f"  {name}, MB over time: " + " ".join(f"{kb / 1024:.1f}" for kb in samples[:: max(1, len(samples) // 12)]))
    growth = [(quarter(samples, 3) - quarter(samples, 1)) / 1024
              for name, samples in memory.items() if name.startswith("gateway")]  # fmt: skip
    workers = {name: max(samples) / 1024 for name, samples in memory.items() if not name.startswith("gateway")}
    return [
        Claim("kill storm: workers killed or stopped", storm.killed + storm.stopped),
        Claim("  questions that did not end", asked - whole - failed, 0, strict=True),
        Claim("  failed, or a token lost, doubled or out of order", failed, 0, strict=True),
        Claim("  a gateway's memory, last quarter less second", max(growth), GROWTH_MB, "MB"),
        Claim("  most memory of a worker", max(workers.values()), 64, "MB"),
    ]
