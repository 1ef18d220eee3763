"""Injected delays: 100 ms here and there come out where they were put, and nowhere else."""

import time

from harness.http import Connection, ask
from harness.ports import free_port
from harness.proxy import DelayingProxy
from house import Claim, House, by_stage, itself_first, medians, put_first, timings

DELAY_MS, WITHIN_MS = 100.0, 5.0
TOKENS = 8
QUESTION = {"question": "what is a heron", "max_tokens": TOKENS}
PAD, LONG_TOKENS, PAUSE_S = 2048, 2000, 0.3  # an answer of 4 MB: more than the kernel keeps for a client


def answers(url, count, **more):
    """Stages of `count` answers, one after the other."""
    out = []
    for number in range(count):
        out.append(by_stage(timings(ask(url, {**QUESTION, "question": f"what is heron {time.monotonic_ns()} {number}",
                                              **more}))))  # fmt: skip
    return out


def charged(name, stage, before, after, expected=DELAY_MS):
    """The claims about one injection: what was put in, and the largest change elsewhere."""
    stages = set(before) | set(after)
    change = {one: after.get(one, 0.0) - before.get(one, 0.0) for one in stages}
    other = max((one for one in stages if one != stage), key=lambda one: abs(change[one]))
    return [
        Claim(f"100 ms {name}: charged to {stage}, apart from it", abs(change.get(stage, 0.0) - expected), WITHIN_MS,
              "ms", strict=True),  # fmt: skip
        Claim(f"  changed elsewhere, most ({other})", abs(change[other]), WITHIN_MS, "ms", strict=True),
    ]


def workers(house, count, say):
    """Everything that one question passes, in turn."""
    port = free_port()
    proxy = DelayingProxy(port)
    house.closers.append(proxy.close)
    fakes = house.start_fakes({"worker": "near", "shard": 0, "shards": 2, "ms": 2},
                              {"worker": "far", "shard": 1, "shards": 2, "ms": 2, "port": port,
                               "tasks": proxy.endpoint})  # fmt: skip
    put_first(house, fakes)
    house.wait_ready(5)  # dense, lexical, the generator, two fakes
    url = house.gateways[0].url
    answers(url, 5)
    claims = []

    def inject(name, stage, begin, end):
        before = medians(answers(url, count))
        begin()
        after = medians(answers(url, count))
        end()
        answers(url, 3)  # nothing of it is left
        change = after.get(stage, 0) - before.get(stage, 0)
        say(f"  {name}: {stage} {before.get(stage, 0):.1f} ms, then {after.get(stage, 0):.1f} ({change:+.1f})")
        claims.extend(charged(name, stage, before, after))

    inject("in the embedding server", "embed", lambda: house.embed.set(embed_ms=1 + DELAY_MS),
           lambda: house.embed.set(embed_ms=1))  # fmt: skip
    inject("in one retriever's search", "search_work", lambda: fakes.set(near={"ms": 2 + DELAY_MS}),
           lambda: fakes.set(near={"ms": 2}))  # fmt: skip
    inject("in one retriever's network", "search_network", lambda: setattr(proxy, "delay_ms", DELAY_MS),
           lambda: setattr(proxy, "delay_ms", 0.0))  # fmt: skip
    inject("in the LLM's first token", "prefill", lambda: house.llm.set(first_ms=20 + DELAY_MS),
           lambda: house.llm.set(first_ms=20))  # fmt: skip
    return claims


def slow_client(house, count, say):
    """Reads nothing for a while, and for 100 ms longer: output then waited so much longer for the client."""
    house.llm.set(tokens=LONG_TOKENS, gap_ms=0.05)
    url = house.gateways[0].url
    body = {"question": "what is slow", "seed": PAD, "max_tokens": LONG_TOKENS}

    def one(pause_s):
        with Connection(url, receive_buffer=131072) as connection:
            connection.request("POST", "/v1/ask", {**body, "question": f"what is slow {time.monotonic_ns()}"})
            head = connection.head()
            time.sleep(pause_s)
            events = list(connection.events(head))
        found = [event for event in events if event.name == "timings"]
        assert len(found) == 1, [event.text for event in events if event.name == "error"]
        return by_stage(found[0].data)

    before, after = [], []
    with itself_first():
        one(PAUSE_S)
        for _ in range(max(5, count // 2)):  # in turn, since how soon the kernel's memory is full varies
            before.append(one(PAUSE_S))
            after.append(one(PAUSE_S + DELAY_MS / 1000))
    house.llm.set(tokens=TOKENS, gap_ms=2)
    before, after = medians(before), medians(after)
    say(f"  a client that pauses: output waited {before['client']:.1f} ms for it, then {after['client']:.1f}")
    return charged("more of a client that does not read", "client", before, after)


def busy_generator(count, say):
    """One slot, taken by another gateway's answer: the question waits inside the generator; by the same gateway's: in
    the gateway. How long is known: until that answer's last token."""
    claims = []
    with House(gateways=2, **{"generator.slots": 1}) as house:
        house.start_llm(first_ms=20, gap_ms=2, tokens=TOKENS)
        house.start_gateways()
        fakes = house.start_fakes({"worker": "near", "ms": 2})
        house.start_generator()
        house.wait_ready(2)
        put_first(house, fakes)
        for stage, first in (("generator_queue", 1), ("wait", 0)):
            asked = house.gateways[0].url
            before = medians(answers(asked, count))
            apart, other = [], []
            for _ in range(count):
                house.llm.set(first_ms=20, gap_ms=DELAY_MS)  # its second token is its last
                with Connection(house.gateways[first].url) as busy:
                    busy_at = time.monotonic()
                    busy.request("POST", "/v1/ask", {"question": f"busy {time.monotonic_ns()}", "max_tokens": 2})
                    events = busy.events(busy.head())
                    while next(events).name != "token":
                        pass
                    house.llm.set(gap_ms=2)
                    stream = ask(asked, {**QUESTION, "question": f"waits {time.monotonic_ns()}"})
                    busy_ms = [event for event in events if event.name == "timings"][0].data["total_ms"]
                found = timings(stream)
                stages = by_stage(found)
                # from when the question came to the slot until the answer in it was over
                state = "waiting" if stage == "wait" else "generating"
                came = next(one["start_ms"] for one in found["states"] if one["state"] == state)
                due = busy_ms - 1000 * (stream.asked_at - busy_at) - came
                apart.append(abs(stages.get(stage, 0.0) - due))
                change = {one: stages.get(one, 0.0) - before.get(one, 0.0) for one in set(before) | set(stages)}
                change.pop(stage, None)
                other.append(change)
            changed = {one: abs(ms) for one, ms in medians(other).items()}
            most = max(changed, key=changed.get)
            apart.sort()
            middle = apart[len(apart) // 2]
            say(f"  busy generator, waited in {stage}: {stages[stage]:.1f} ms of {due:.1f} the last time")
            claims += [
                Claim(f"in the queue of a busy generator: charged to {stage}, apart", middle, WITHIN_MS, "ms",
                      strict=True),  # fmt: skip
                Claim(f"  changed elsewhere, most ({most})", changed[most], WITHIN_MS, "ms", strict=True),
            ]
    return claims


def run(short=False, say=print):
    count = 5 if short else 21
    with House(**{"gateway.hedge_share": 0, "llm.max_tokens": 4000, "llm.context_tokens": 20000}) as house:
        house.start_llm(first_ms=20, gap_ms=2, tokens=TOKENS, send_buffer=32768)
        house.start_embed(embed_ms=1)
        index = house.make_index(passages=300, collection="real")
        house.start_gateways()
        house.start_retriever(index)
        house.start_generator()
        claims = workers(house, count, say)
        claims += slow_client(house, count, say)
    return claims + busy_generator(count, say)
