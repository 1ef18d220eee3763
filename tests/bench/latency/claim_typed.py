"""Questions that are typed, on the real embedding model: whether their passages are there when they are sent."""

import threading
import time

from asking import Typist, median, on, stage_ms
from parts import Claim
from real_house import questions, real_house
from typing_model import drafted, typed

TYPISTS = 3  # at a time


def folded(text):
    """As the gateway compares: without capitals, punctuation, white space."""
    return " ".join("".join(c.lower() if c.isalnum() or ord(c) > 127 else " " for c in text).split())


class Session:
    """One question, typed with the pauses of its seed; drafts go out while the keys go on."""

    def __init__(self, url, question, seed):
        self.typist, self.question = Typist(url), question
        self.keys, self.sent_at = typed(question, seed)
        self.plan = drafted(self.keys, self.sent_at)
        self.done, self.threads = [], []

    def _draft(self, text):
        answer = self.typist.draft(text)
        if answer:
            self.done.append((text, answer["timings"].get("retrieval")))

    def run(self):
        began = time.monotonic()
        for at, text in self.plan:
            time.sleep(max(0.0, began + at - time.monotonic()))
            thread = threading.Thread(target=self._draft, args=(text,), daemon=True)
            thread.start()
            self.threads.append(thread)
        time.sleep(max(0.0, began + self.sent_at - time.monotonic()))
        self.stream = self.typist.ask(self.question, max_tokens=1, temperature=0)
        for thread in self.threads:
            thread.join(60)

    @property
    def wasted(self):
        """Retrievals that were done to the end for words that were not the question's."""
        return len({folded(text) for text, how in self.done if how is None} - {folded(self.question)})


def run(short=False, data=None, rows=None, say=print):
    asked = questions(data, 3 if short else 36)
    house = real_house(data, settings=on(**{"cache.passages_mb": 64}))
    try:
        url = house.gateways[0].url
        sessions = [Session(url, question, seed) for seed, question in enumerate(asked)]
        turn = iter(sessions)

        def work():
            for session in turn:
                session.run()

        threads = [threading.Thread(target=work, daemon=True) for _ in range(TYPISTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(900)
        stages = [stage_ms(session.stream) for session in sessions]
        metrics = house.gateways[0].metrics()
    finally:
        house.__exit__(None)
    hits = sum(stage < 2 for stage in stages)
    say(f"  drafts: { {name.split('outcome=')[1]: int(value) for name, value in metrics.items() if 'ragline_drafts_total' in name} }")
    say(f"  a question of {median([len(q) for q in asked]):.0f} characters takes"
        f" {median([session.sent_at for session in sessions]):.1f} s to type and send; retrieval otherwise:"
        f" {median([stage for stage in stages if stage >= 2] or [0]):.1f} ms")  # fmt: skip
    return [
        Claim(f"typed questions ({len(asked)}): retrieval stage under 2 ms", 100 * hits / len(asked), 80, "%", at_most=False),
        Claim("  the stage, median", median(stages), 2, "ms"),
        Claim("  drafts that were sent, a question", sum(len(s.plan) for s in sessions) / len(sessions)),
        Claim("  wasted retrievals, a question", sum(s.wasted for s in sessions) / len(sessions), 3),
    ]
