"""Timelines: 1,000 questions of mixed kinds under load; states partition, nothing is unattributed, client and gateway agree."""

from house import Claim, House, profile, put_first, read_notes

KINDS = (None, "dense", "lexical")


def gap(note):
    """How far an answer's own figures are from one another, in ms: states, unattributed, path."""
    timings = note["timings"]
    states = timings["states"]
    at, worst = 0.0, 0.0
    for state in states:  # each begins where the one before ended
        worst = max(worst, abs(state["start_ms"] - at))
        at = state["start_ms"] + state["ms"]
    worst = max(worst, abs(timings["total_ms"] - at))
    path = sum(step["ms"] for step in timings["critical_path"])
    return worst, timings["unattributed_ms"], abs(path - timings["first_token_ms"])


def apart(note):
    """How far the client's stamps are from the gateway's, in ms: (the most, where)."""
    client, timings = note["client"], note["timings"]
    pairs = {name: (client[f"{name}_ms"], timings[f"{name}_ms"]) for name in ("sources", "first_token")}
    pairs["first status"] = client["status_ms"], timings["first_status_ms"]
    pairs["end"] = client["timings_ms"], timings["total_ms"]
    return max((abs(mine - its), name) for name, (mine, its) in pairs.items())


def run(short=False, say=print):
    questions = 120 if short else 1020
    with House(**{"gateway.traces": 2000}) as house:
        house.start_llm(first_ms=30, gap_ms=5, tokens=24)
        house.start_embed(embed_ms=3)
        index = house.make_index(passages=1000, shards=2)
        house.start_gateways()
        house.start_retriever(index)
        house.start_generator()
        house.wait_ready(5)
        house.load(0, streams=3, questions=5, tokens=24).result()  # connections are made, pages are there
        put_first(house)
        loads = []
        for kind in KINDS:
            path = house.folder / f"notes-{kind}.jsonl"
            one = house.load(0, streams=4, questions=questions // len(KINDS) // 4, tokens=24, spread_ms=200, kinds=kind,
                             continuation=kind is None, notes=path)  # fmt: skip
            loads.append((one, path))
            put_first(house)
        notes = []
        for one, path in loads:
            found = one.result()
            assert found["failed"] == 0, found["faults"]
            notes += read_notes(path)
        kept = profile(house.gateways[0].url)
    partition, unattributed, path = (max(values) for values in zip(*map(gap, notes)))
    furthest = sorted(map(apart, notes))
    agree = [ms for ms, _ in furthest]
    say(f"  {len(notes)} answers; client and gateway apart: p50 {agree[len(agree) // 2]:.2f} ms,"
        f" p99 {agree[int(0.99 * len(agree))]:.2f}, most {agree[-1]:.2f} ({furthest[-1][1]}); ragline-profile read"
        f" {kept['answers']} of /v1/traces, first token p50 {kept['first_token']['p50_ms']:.1f} ms")  # fmt: skip
    over = sum(value > 2 for value in agree)
    return [
        Claim("timeline: answers with one", len(notes), questions, at_most=False, strict=True),
        Claim("  states end to end make up the total, most apart", partition, 0.01, "ms", strict=True),
        Claim("  unattributed, most", unattributed, 1, "ms", strict=True),
        Claim("  critical path to the first token, most apart", path, 1, "ms", strict=True),
        Claim("  the client's own stamps, most apart", agree[-1], 2, "ms"),
        Claim("  answers in which they are more than 2 ms apart", over, unit=""),
        Claim("  the client's own stamps, p99", agree[int(0.99 * len(agree))], 2, "ms"),
    ]
