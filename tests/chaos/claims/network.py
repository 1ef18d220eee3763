"""Network: 20 ms between all machines, links that stand still for moments, and ones that are cut off for seconds."""

import json
import pathlib
import random
import subprocess
import sys
import time

from parts import Claim, House, free_port, percentile, sleep_until

LATENCY_MS = 20  # each way
SHARDS, REPLICAS, GENERATORS = 2, 2, 2
KINDS = ("dense", "lexical")
MOMENT_EVERY_S, MOMENT_MS = 0.4, (50, 300)  # a link, any
CUT_EVERY_S, CUT_MS = 5.0, 2500  # a worker's links, so long that it counts as lost
BACK_S = 2.0


class Network:
    """The links, in a process of their own."""

    def __init__(self):
        command = [sys.executable, str(pathlib.Path(__file__).parents[1] / "slow_link.py")]
        self.popen = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.links = []

    def tell(self, words):
        self.popen.stdin.write(json.dumps(words) + "\n")
        self.popen.stdin.flush()
        assert self.popen.stdout.readline() == "{}\n"

    def link(self, name, endpoint):
        """Where `endpoint` is reached over this link."""
        listen = free_port()
        self.links.append({"link": name, "listen": listen, "to": int(endpoint.rsplit(":", 1)[1])})
        return f"tcp://127.0.0.1:{listen}"

    def start(self):
        self.tell({"latency_ms": LATENCY_MS, "links": self.links})

    def stall(self, link, ms):
        self.tell({"stall": link, "ms": ms})

    def close(self):
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.communicate()


def plan(house, network):
    """{name of a worker: (kind, its settings)}, each with its own links; and the gateway's settings. Tokens of all
    generators come over one more link."""
    gateway = house.gateways[0]
    names = [f"{kind}-{shard}-{replica}" for kind in KINDS for shard in range(SHARDS) for replica in range(REPLICAS)]
    workers = {}
    for name in (*names, *(f"generator-{number}" for number in range(GENERATORS))):
        kind = "generator" if name.startswith("generator") else "retriever"
        bound = f"tcp://127.0.0.1:{free_port()}"
        workers[name] = (kind, {
            "cluster.gateways": network.link(name, gateway.hub),
            f"{kind}.bind": bound,
            f"{kind}.advertise": network.link(name, bound),
        })  # fmt: skip
    return workers, {"gateway.tokens_advertise": network.link("tokens", gateway.tokens)}


def trouble(house, network, workers, all_there, seconds):
    """Stalls and cuts until the time is over; how long after its cut each worker took to be in use again."""
    rng, backs = random.Random(seconds), []
    now = time.monotonic()
    end, moment, cut = now + seconds, now, now + min(1.0, seconds / 4)
    healed = None  # when the links that were cut were whole again
    while now < end or healed:
        if now >= moment and now < end:
            moment += MOMENT_EVERY_S
            network.stall(rng.choice([name for name in (*workers, "tokens")]), rng.randint(*MOMENT_MS))
        if not healed and now >= cut and now < end:
            cut += CUT_EVERY_S
            name = rng.choice(list(workers))
            network.stall(name, CUT_MS)
            if name.startswith("generator"):  # whose tokens come with the other's, and are a sign of life
                network.stall("tokens", CUT_MS)
            healed = now + CUT_MS / 1000
            lost = False
        if healed:
            there = sum(worker["last_seen_ms"] < 400 and worker["state"] == "ready"
                        for worker in house.gateways[0].workers())  # fmt: skip
            lost = lost or there < all_there
            if now > healed and there == all_there:
                assert lost, f"{name} was not missed in {CUT_MS} ms"
                backs.append(now - healed)
                healed = None
        sleep_until(now + 0.05)
        now = time.monotonic()
        assert not healed or now < healed + 15, f"{name} does not come back"
    return backs


def run(short=False, say=print):
    streams, seconds = (10, 4) if short else (100, 40)
    with House() as house:
        network = Network()
        house.closers.append(network.close)
        house.start_llm(first_ms=50, gap_ms=50, tokens=64)
        house.start_embed(embed_ms=5)
        index = house.make_index(passages=600, shards=SHARDS)
        workers, settings = plan(house, network)
        network.start()
        house.start_gateways(**settings)
        for name, (kind, given) in workers.items():
            if kind == "retriever":  # an address of its own is for one shard and kind
                of, shard, _ = name.split("-")
                house.start_retriever(index, name, **{"retriever.shards": shard, "retriever.kinds": of, **given})
            else:
                house.start_generator(name, **given)
        all_there = len(workers)
        house.wait_ready(all_there)
        load = house.load(0, streams=streams, spread_ms=1000, seconds=seconds, continuation=True)
        backs = trouble(house, network, workers, all_there, seconds)
        result = load.result()
        house.check_alive()
    for fault in result["faults"]:
        say(f"  fault: {fault}")
    say(f"  {len(backs)} workers cut off for {CUT_MS} ms, back after {percentile(backs, 0.5):.2f} s (median);"
        f" {result['questions']} questions, first token p50 {result['first_token_ms']['p50']:.0f} ms,"
        f" p99 {result['first_token_ms']['p99']:.0f}")  # fmt: skip
    return [
        Claim("network, 20 ms and stalls: questions that did not end",
              result["questions"] - result["whole"] - result["failed"], 0, strict=True),  # fmt: skip
        Claim("  failed, or a token lost, doubled or out of order", result["failed"], 0, strict=True),
        Claim("  longest until what was cut off is used again", max(backs), BACK_S, "s"),
    ]
