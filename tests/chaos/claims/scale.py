"""Scaling: 1, 2, 4, 8 replicas that sleep 20 ms a query; the gateway's CPU with 4 and 64 shards."""

from parts import Claim, House, cpu_s

SLEEP_MS = 20
WINDOWS = 3
# what is measured is throughput and CPU: on a machine that others use too, a late answer is not a missing one
PATIENT = {"gateway.soft_ms": 20_000, "gateway.hard_ms": 20_000}


def throughput(replicas, seconds):
    """Questions a second with as many streams as keep every replica busy. The best of some windows: whatever else runs
    on the machine only takes away."""
    with House() as house:
        house.start_gateways(**{"gateway.hedge_share": 0, **PATIENT})
        house.start_fakes(*({"worker": f"r{n}", "ms": SLEEP_MS, "serial": True} for n in range(replicas)))
        house.wait_ready(replicas)
        streams = 4 * replicas
        house.load(0, "search", streams=streams, questions=10, kinds="lexical").result()
        rates = []
        for _ in range(WINDOWS):
            found = house.load(0, "search", streams=streams, seconds=seconds / WINDOWS, kinds="lexical", k=4).result()
            assert found["failed"] == 0, found["faults"]
            rates.append(found["whole"] / found["seconds"])
        return max(rates)


def cpu_per_shard(shards, questions):
    """µs of the gateway's CPU for a question and shard."""
    with House() as house:
        house.start_gateways(**PATIENT)
        house.start_fakes(*({"worker": f"s{n}", "ms": 1, "shard": n, "shards": shards} for n in range(shards)))
        house.wait_ready(shards)
        gateway = house.gateways[0].process
        asked = {"streams": 4, "kinds": "lexical", "k": 4}
        house.load(0, "search", questions=10, **asked).result()
        before = cpu_s(gateway)
        found = house.load(0, "search", questions=questions // 4, **asked).result()
        used = cpu_s(gateway) - before
        assert found["failed"] == 0, found["faults"]
        return 1e6 * used / found["whole"] / shards


def run(short=False, say=print):
    seconds = 1 if short else 8
    counts = (1, 4) if short else (1, 2, 4, 8)
    rates = {count: throughput(count, seconds) for count in counts}
    say("  questions/s: " + ", ".join(f"{rate:.1f} with {count}" for count, rate in rates.items()))
    few, many = (cpu_per_shard(shards, 200 if short else 3000) for shards in (4, 64))
    say(f"  the gateway's CPU for a question and shard: {few:.1f} us with 4 shards, {many:.1f} with 64")
    worst = min(rate / (count * rates[1]) for count, rate in rates.items())
    best = max(rate / (count * rates[1]) for count, rate in rates.items())
    return [
        Claim("scaling: throughput to proportional, least", worst, 0.9, "x", at_most=False),
        Claim("  to proportional, most", best, 1.1, "x"),
        Claim("  one replica, to what 20 ms allow", rates[1] * SLEEP_MS / 1000, 0.9, "x", at_most=False),
        Claim("the gateway's CPU for a question and shard, 64 shards to 4", many / few, 1.2, "x"),
    ]
