"""Predictions: what ragline-profile says of twice the replicas, beside a real run with twice the replicas."""

from house import Claim, House, profile, put_first, traces

# replicas that sleep, one query after the other; a fifth of them take more than three times as long
MS, SLOW_MS, SHARE, REPLICAS = 15, 50, 0.2, 2
RATE = 70  # questions a second: two replicas are busy for 77 % of the time


def run_house(replicas, seconds, say):
    """The answers of a house with so many replicas of each of two shards: (recorded traces, the load's account)."""
    most = int(RATE * seconds * 2)
    # no hedging, which is not simulated, and no deadline that cuts a queue short
    limits = {"gateway.hedge_share": 0, "gateway.soft_ms": 30000, "gateway.hard_ms": 30000, "gateway.traces": most}
    with House(**limits) as house:
        house.start_llm(first_ms=40, gap_ms=2, tokens=8)
        house.start_gateways()
        fakes = house.start_fakes(*({"worker": f"s{shard}r{number}", "shard": shard, "shards": 2, "ms": MS, "slow_ms": SLOW_MS,
                             "share": SHARE, "serial": True}
                            for shard in range(2) for number in range(replicas)))  # fmt: skip
        house.start_generator()
        house.wait_ready(2 * replicas + 1)
        house.load(0, streams=4, questions=5, tokens=8, kinds="lexical").result()
        begun = traces(house.gateways[0])[-1]["unix_ms"] / 1000
        load = house.load(0, streams=400, rate=RATE, seconds=seconds, tokens=8, kinds="lexical")
        put_first(house, fakes)
        found = load.result()
        assert found["failed"] == found["missed"] == 0, found
        path = house.folder / "traces.json"
        path.write_bytes(house.gateways[0].get(f"/v1/traces?limit={min(most, 10000)}&since={begun + 0.01:.3f}").body)
        told = {
            replicas * times: profile(path, *(["--profile-retrievers", f"x{times}"] if times > 1 else []))
            for times in (1, 2)
        }
        say(f"  {replicas} replicas of each shard: {found['whole']} answers, first token p50"
            f" {found['first_token_ms']['p50']:.1f} ms, p99 {found['first_token_ms']['p99']:.1f}")  # fmt: skip
        return told, found["first_token_ms"]


def run(short=False, say=print):
    seconds = 4 if short else 60
    told, _ = run_house(REPLICAS, seconds, say)
    twice, real = run_house(2 * REPLICAS, seconds, say)
    same, predicted = told[REPLICAS], told[2 * REPLICAS]["simulated"][-1]
    assert predicted["what"] == "2 times the retrievers", predicted
    measured = twice[2 * REPLICAS]["first_token"]
    station = max(same["stations"], key=lambda one: one.get("busy", 0))
    say(f"  the busiest: {station['station']}, {100 * station['busy']:.0f} %, saturates at"
        f" {station['saturates_per_s']:.0f} questions a second; simulated as it was: off by"
        f" {100 * same['error']['p50']:+.1f} % at p50, {100 * same['error']['p99']:+.1f} % at p99")  # fmt: skip
    claims = []
    for name in ("p50", "p99"):
        key = f"{name}_ms"
        claims += [
            Claim(f"twice the replicas: predicted first token {name}, off by",
                  100 * abs(predicted[key] / measured[key] - 1), 20, "%"),  # fmt: skip
            Claim(f"  predicted {name}", predicted[key], unit="ms"),
            Claim(f"  in a real run, {name}", measured[key], unit="ms"),
            Claim(f"  the same, as the client saw it, {name}", real[name], unit="ms"),
            Claim(f"  before, {name}", same["first_token"][key], unit="ms"),
        ]
    servers = [one for one in same["stations"] if one["station"].startswith("retrievers")]
    assert len(servers) == 2, servers
    right = sum(one["servers"] == REPLICAS and one["servers_measured"] for one in servers)
    return [*claims, Claim("  shards whose replicas' servers were read off the recording", right, 2, at_most=False)]
