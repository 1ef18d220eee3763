"""The real models: a small LLM and a real embedding model on this machine, five passages a question."""

import difflib
import os
import statistics

import sequential
from asking import Typist, all_seen, http, median, off, on, seen, stage_ms
from parts import Claim
from real_house import K, questions, real_house

TITLE = "Real models on this machine's CPUs ({} CPUs, SmolLM2-135M, {} passages)"
FIELDS = {"temperature": 0, "seed": 1, "max_tokens": 48}
SOURCES = [{"kinds": ["lexical"]}, {"kinds": ["dense"]}]


def plain(house, asked):
    return [http.ask(house.gateways[0].url, {"question": question, **FIELDS}, timeout=120) for question in asked]


def read_ahead(house, asked):
    out = []
    for question in asked:
        typist = Typist(house.gateways[0].url)
        typist.read_ahead(question)
        out.append(typist.ask(question, **FIELDS))
    return out


def forget(house):
    """Another server in its place, that has read nothing; the first question finds the connections to it."""
    house.llm.restart()
    http.ask(house.gateways[0].url, {"question": "Is anybody there again?", "k": 1, "max_tokens": 1}, timeout=120)


def without_passages(house, asked):
    """Seconds to the first word of a prompt that has no passage, asked of the LLM server directly."""
    out = []
    for question in asked:
        result = sequential.write(house.llm.url, house.llm.model, question, [], True, FIELDS["max_tokens"])
        out.append(result["word"])
    return out


def in_turns(house, asked):
    """{question: stream} without drafts, and drafted and read ahead; each where the server has read nothing of it
    before. The first half is asked plainly first, then the server forgets, and it is the other way round."""
    half = len(asked) // 2
    plainly, ahead = {}, {}
    for way in ((asked[:half], asked[half:]), (asked[half:], asked[:half])):
        forget(house)
        for one, other in zip(*way):
            plainly[one] = plain(house, [one])[0]
            ahead[other] = read_ahead(house, [other])[0]
    return plainly, ahead


def cached_share(stream):
    timings = stream.one("timings").data
    return timings["cached_tokens"] / max(1, stream.one("done").data["usage"]["prompt_tokens"])


def likeness(a, b):
    return difflib.SequenceMatcher(None, a, b).ratio()


def table_of(data, asked, say):
    """Rows (i) to (iii): everything off; the same questions in each, and a server that has read nothing of them."""
    rows = []
    house = real_house(data, prefill="off", settings=off())
    try:
        url, llm = house.gateways[0].url, house.llm
        for name, stream in (("sequential: search, prompt, answer", False), ("streaming only", True)):
            results = [sequential.ask(url, llm.url, llm.model, q, SOURCES, K, stream, FIELDS["max_tokens"]) for q in asked]
            rows.append((name, all_seen(results)))
            forget(house)
        parallel = plain(house, asked)
        rows.append(("streaming, retrieval in parallel", all_seen([seen(stream) for stream in parallel])))
    finally:
        house.__exit__(None)
    return (TITLE.format(os.cpu_count(), K), rows), parallel


def run(short=False, data=None, rows=None, say=print):
    count = 2 if short else 7
    pairs = questions(data, 2 * count)
    same = pairs[:count]  # in every row of the table
    table, parallel = table_of(data, same, say)
    rows["real"] = table
    house = real_house(data, prefill="off", settings=on(**{"gateway.prefill": "false"}))
    try:
        plain(house, same)
        repeated = plain(house, same)
        table[1].append(("and caches (asked again)", all_seen([seen(stream) for stream in repeated])))
    finally:
        house.__exit__(None)
    house = real_house(data, prefill="off", settings=on(**{"gateway.prefill": "false"}))
    try:
        drafted = []
        for question in same:
            typist = Typist(house.gateways[0].url)
            typist.draft(question)
            drafted.append(typist.ask(question, **FIELDS))
        table[1].append(("and drafts (typed, not asked before)", all_seen([seen(stream) for stream in drafted])))
    finally:
        house.__exit__(None)
    house = real_house(data, settings=on(**{"cache.passages_mb": 0}))
    try:
        forget(house)
        plainly, ahead = in_turns(house, pairs)
        bare = without_passages(house, pairs)
    finally:
        house.__exit__(None)
    table[1].append(("and prefill (typed)", all_seen([seen(ahead[q]) for q in same])))
    first = {q: seen(plainly[q])["word"] for q in plainly}
    first_ahead = {q: seen(ahead[q])["word"] for q in ahead}
    ratios = [first[q] / first_ahead[q] for q in ahead]
    other = sum(plainly[q].one("timings").data["prompt_hash"] != ahead[q].one("timings").data["prompt_hash"] for q in ahead)
    alike = [likeness(plainly[q].text, ahead[q].text) for q in ahead]
    say(f"  first word {1000 * median(list(first.values())):.0f} ms, drafted and read ahead"
        f" {1000 * median(list(first_ahead.values())):.0f}, without passages {1000 * median(bare):.0f};"
        f" of the prompt the server had {100 * median([cached_share(s) for s in plainly.values()]):.0f} %"
        f" and {100 * median([cached_share(s) for s in ahead.values()]):.0f} %")  # fmt: skip
    return [
        Claim("real models: first status", 1000 * median([seen(stream)["visible"] for stream in parallel]), 5, "ms"),
        Claim("  asked again: retrieval stage", median([stage_ms(stream) for stream in repeated]), 1, "ms"),
        Claim("  drafted: retrieval stage", median([stage_ms(stream) for stream in drafted]), 2, "ms"),
        Claim(f"  first word, drafted and read ahead, sooner ({len(ratios)} pairs)", median(ratios), 6, "x", at_most=False),
        Claim("  first word, to that of a prompt without passages", median(list(first_ahead.values())) / median(bare), 1.5,
              "x"),  # fmt: skip
        Claim("  prompts other with prefill than without", other, 0, strict=True),
        Claim("  answers' texts alike (arithmetic may depend on batches)", 100 * statistics.mean(alike), unit="%"),
    ]
