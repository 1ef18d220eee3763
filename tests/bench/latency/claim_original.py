"""The original problem: retrieval 1.5 s over three sources, one of them slow; generation 3.5 s, its first token at 0.5 s."""

import sequential
from asking import House, Model, Typist, all_seen, http, median, off, on, seen, stage_ms
from parts import Claim

SOURCES = {"notes": 250, "wiki": 250, "archive": 1000}  # ms each; one after the other 1.5 s
K = 5
WORDS = 60  # of a passage
TITLE = "Stand-ins with the times of the original problem"
QUESTION = "How often is the {} of boiler number {} checked, and by whom?"
FIRST_MS = 500


def house_of(prefill, settings):
    house = House(**{"log.level": "warn"})
    house.__enter__()
    try:
        # 50 ms, and as long as a prompt of this size takes to be 500 ms together
        house.llm = Model(house, fixed_ms=50, read_ms=FIRST_MS - 50, prompt_chars=house_prompt(), gap_ms=50, tokens=61)
        house.start_gateways(**{"gateway.k": K, "gateway.collections": ",".join(SOURCES), "gateway.soft_ms": 8000,
                                "gateway.hard_ms": 9000, **settings})  # fmt: skip
        workers = [{"worker": name, "collection": name, "ms": ms, "words": WORDS} for name, ms in SOURCES.items()]
        house.start_fakes(*workers)
        house.start_generator(**{"llm.prefill": prefill})
        house.wait_ready(len(SOURCES) + 1)
    except BaseException:
        house.__exit__(RuntimeError)
        raise
    return house


def house_prompt():
    """Characters of a prompt of K such passages: a word and a number each, and what surrounds them."""
    return K * (WORDS // 2 * 10.3 + 30) + 220


def questions(start, count):
    things = "pump valve gauge filter turbine piston gasket nozzle burner".split()
    return [QUESTION.format(things[n % len(things)], 1000 + n) for n in range(start, start + count)]


def plain(house, asked):
    return [http.ask(house.gateways[0].url, {"question": question}, timeout=60) for question in asked]


def drafted(house, asked, prefilled):
    out = []
    for question in asked:
        typist = Typist(house.gateways[0].url)
        (typist.read_ahead if prefilled else typist.draft)(question)
        out.append(typist.ask(question))
    return out


def hash_of(stream):
    return stream.one("timings").data["prompt_hash"]


def run(short=False, data=None, rows=None, say=print):
    times = 1 if short else 5
    sources = [{"collection": name} for name in SOURCES]
    table = []
    rows["standin"] = (TITLE, table)
    house = house_of("off", off())
    try:
        url, model = house.gateways[0].url, house.llm
        for name, stream in (("sequential: search, prompt, answer", False), ("streaming only", True)):
            asked = questions(100 if stream else 0, times)
            results = [sequential.ask(url, model.url, "standin", q, sources, K, stream) for q in asked]
            table.append((name, all_seen(results)))
        own = median([result["word"] - result["passages"] for result in results])  # the model asked directly
        parallel = plain(house, questions(200, times))
        table.append(("streaming, retrieval in parallel", all_seen([seen(stream) for stream in parallel])))
    finally:
        house.__exit__(None)
    house = house_of("off", on())
    try:
        asked = questions(300, times)
        coming = plain(house, asked)
        table.append(("and passages as they come", all_seen([seen(stream) for stream in coming])))
        again = plain(house, asked)
        table.append(("and caches (asked again)", all_seen([seen(stream) for stream in again])))
        in_drafts = drafted(house, questions(400, times), False)
        table.append(("and drafts (typed, not asked before)", all_seen([seen(stream) for stream in in_drafts])))
    finally:
        house.__exit__(None)
    house = house_of("auto", on())
    try:
        ahead = drafted(house, questions(400, times), True)
        table.append(("and prefill (typed)", all_seen([seen(stream) for stream in ahead])))
    finally:
        house.__exit__(None)
    seen_first = table[0][1]["visible"]
    status = median([seen(stream)["visible"] for stream in parallel])
    drafts = [seen(stream) for stream in in_drafts]
    stage = median([stage_ms(stream) for stream in again])
    word = median([d["word"] for d in drafts])
    same = sum(hash_of(a) == hash_of(b) and a.text == b.text for a, b in zip(in_drafts, ahead))
    return [
        Claim("original problem: the sequential program shows something after", seen_first, unit="s"),
        Claim("  first status", 1000 * status, 5, "ms"),
        Claim("  passages after the slowest source's 1,000 ms", 1000 * median([seen(s)["passages"] for s in parallel]) - 1000,
              10, "ms"),  # fmt: skip
        Claim("  passages as they come: the first ones after the first source's 250 ms",
              1000 * median([seen(s)["passages"] for s in coming]) - min(SOURCES.values()), 15, "ms"),  # fmt: skip
        Claim("  asked again: retrieval stage", stage, 1, "ms"),
        Claim("  drafted: first passages", 1000 * median([d["passages"] for d in drafts]), 50, "ms"),
        Claim("  drafted: first word after the model's own, added", 1000 * (word - own), 5, "ms"),
        Claim("  drafted and read ahead: first word, to drafted only", median([seen(s)["word"] for s in ahead]) / word, 0.5,
              "x"),  # fmt: skip
        Claim("  prompts and answers other with prefill than without", len(ahead) - same, 0, strict=True),
    ]

