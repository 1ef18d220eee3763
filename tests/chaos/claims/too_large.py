"""A task that cannot be sent: questions with more passages than a message takes, among 50 questions a second."""

from harness import http
from parts import Background, Claim, House

RATE = 50  # questions a second, of which none may be lost
EVERY_S = 0.5
SHARDS, BYTES = 10, 100_000  # ten passages of each, so large: 10 MB, of which a task takes 8


class Large(Background):
    """Asks, over and over, a question whose passages are too many for one task."""

    def __init__(self, url):
        self.url, self.asked, self.whole, self.said = url, 0, 0, 0
        super().__init__(EVERY_S)

    def step(self):
        self.asked += 1
        body = {"question": f"pump {self.asked}", "collection": "large", "k": 100, "hard_ms": 20_000, "soft_ms": 20_000}
        answer = http.call(self.url, "POST", "/v1/ask", {**body, "stream": False})
        if answer.status == 200:
            self.whole += 1
            self.said += answer.json()["timings"].get("passages_left_out", 0) > 0


def run(short=False, say=print):
    with House() as house:
        house.start_llm(first_ms=20, gap_ms=5, tokens=16)
        index = house.make_index(passages=300)
        house.start_gateways(**{"gateway.collections": "chaos"})
        house.start_retriever(index, **{"retriever.kinds": "lexical"})
        house.start_generator(**{"generator.slots": 64})
        house.start_fakes(*({"worker": f"large/{shard}", "collection": "large", "shard": shard, "shards": SHARDS, "bytes": BYTES}
                            for shard in range(SHARDS)))  # fmt: skip
        house.wait_ready(2 + SHARDS)
        large = Large(house.gateways[0].url)
        result = house.load(0, streams=100, rate=RATE, seconds=3 if short else 30, tokens=16).result()
        large.end()
        house.check_alive()
    for fault in result["faults"]:
        say(f"  fault: {fault}")
    say(f"  {result['questions']} questions beside {large.asked} that were too large")
    return [
        Claim("tasks too large: other questions that failed", result["failed"], 0, strict=True),
        Claim("  other questions answered", result["whole"], 1, at_most=False, strict=True),
        Claim("  too large ones without an answer", large.asked - large.whole, 0, strict=True),
        Claim("  too large ones that do not say so", large.whole - large.said, 0, strict=True),
        Claim("  too large ones asked", large.asked, 1, at_most=False, strict=True),
        Claim("  first token p99 of the others", result["first_token_ms"]["p99"], unit="ms"),
    ]
