"""Provisional start: the answer is begun on what the quick sources found, while the slow one, 1 s, still searches; the
model takes 1 s to its first token. Words are held until the passages are final."""

from asking import House, Model, http, median, off, seen
from claim_original import K, WORDS, house_prompt, questions
from parts import Claim

SLOW_MS, QUICK_MS = 1000, 20
AFTER_MS = 50


def measure(best, provisional, asked):
    """Answers where the slow source's best hit has this score (the quick ones' has 9)."""
    with House() as house:
        house.llm = Model(house, fixed_ms=50, read_ms=950, prompt_chars=house_prompt(), gap_ms=10, tokens=30)
        settings = {"gateway.provisional_ms": AFTER_MS, "gateway.provisional_share": 1} if provisional else {}
        house.start_gateways(**{"gateway.k": K, "gateway.collections": "a,b,slow", "gateway.soft_ms": 8000,
                                "gateway.hard_ms": 9000, **off(), **settings})  # fmt: skip
        quick = [{"worker": name, "collection": name, "ms": QUICK_MS, "words": WORDS} for name in ("a", "b")]
        house.start_fakes(*quick, {"worker": "slow", "collection": "slow", "ms": SLOW_MS, "words": WORDS, "best": best})
        house.start_generator(**{"llm.prefill": "off"})
        house.wait_ready(4)
        return [http.ask(house.gateways[0].url, {"question": question}, timeout=60) for question in asked]


def words(streams):
    return median([seen(stream)["word"] for stream in streams])


def run(short=False, data=None, rows=None, say=print):
    asked = questions(700, 2 if short else 7)
    kept = {provisional: measure(1.0, provisional, asked) for provisional in (False, True)}
    changed = {provisional: measure(18.0, provisional, asked) for provisional in (False, True)}
    say(f"  first word: top-k stays {1000 * words(kept[False]):.0f} ms, begun before {1000 * words(kept[True]):.0f};"
        f" changes {1000 * words(changed[False]):.0f} and {1000 * words(changed[True]):.0f}")  # fmt: skip
    other = sum(a.text != b.text for a, b in zip(changed[False] + kept[False], changed[True] + kept[True]))
    return [
        Claim("provisional start, top-k stays: first word sooner", 1000 * (words(kept[False]) - words(kept[True])), 900, "ms",
              at_most=False),  # fmt: skip
        Claim("  top-k changes: first word later", 1000 * (words(changed[True]) - words(changed[False])), 5, "ms"),
        Claim("  answers other than those of the final top-k", other, 0, strict=True),
    ]
