"""What we send, we accept: a model server that says what no message can carry, among 50 questions a second at another."""

import sys

from harness import http
from parts import ROOT, Background, Claim, House

sys.path.insert(0, str(ROOT / "tests" / "e2e"))

from fakes import llm as fake  # noqa: E402
from fakes.server import Send  # noqa: E402

RATE = 50


def says(**what):
    return fake.stream_bytes(b"".join(fake.events_of(["It ", "runs."], **what)), (10**6,))


def scripts():
    """What it says, and whether an answer comes of it."""
    head = b"HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n"
    error = b'{"error": {"message": "' + "\u00e9".encode() * 900 + b'\xe9"}}'
    return [
        (says(model="m" * 300), True),
        (says(model="\u00e9" * 200), True),
        (says(finish="\u00e9" * 20), True),
        ([Send(head % (b"200 OK", b"text/caf\xe9", 2) + b"hi")], False),
        ([Send(head % (b"400 Bad", b"application/json", len(error)) + error)], False),
    ]


class Odd(Background):
    """Asks the gateway whose model server is odd; every question must end, as its script says."""

    def __init__(self, url, llm):
        self.url, self.llm, self.asked, self.wrong = url, llm, 0, 0
        super().__init__(0.05)

    def step(self):
        for script, answers in scripts():
            self.llm.plan(script)
            self.asked += 1
            answer = http.call(self.url, "POST", "/v1/ask", {"question": f"pump {self.asked}", "stream": False,
                                                             "timeout_ms": 5000})  # fmt: skip
            ended = answer.status == 200 if answers else answer.status in (400, 502)
            self.wrong += not ended


def run(short=False, say=print):
    odd_llm = fake.FakeLLM()
    try:
        with House(gateways=2) as house:
            house.start_llm(first_ms=20, gap_ms=5, tokens=16)
            index = house.make_index(passages=300)
            house.start_gateways()
            house.start_retriever(index, **{"retriever.kinds": "lexical"})
            usual, other = (gateway.hub for gateway in house.gateways)
            house.start_generator("generator", **{"cluster.gateways": usual})
            house.start_generator("generator-odd", **{"cluster.gateways": other, "llm.url": odd_llm.url, "llm.warm_ms": 0,
                                                      "llm.prefill": "off", "llm.model": odd_llm.model})  # fmt: skip
            house.wait_ready(2)
            odd = Odd(house.gateways[1].url, odd_llm)
            result = house.load(0, streams=100, rate=RATE, seconds=3 if short else 30, tokens=16).result()
            odd.end()
            house.check_alive()
    finally:
        odd_llm.close()
    for fault in result["faults"]:
        say(f"  fault: {fault}")
    say(f"  {result['questions']} questions beside {odd.asked} of a server that says what no message can carry")
    return [
        Claim("an odd server: questions at another that failed", result["failed"], 0, strict=True),
        Claim("  questions at another answered", result["whole"], 1, at_most=False, strict=True),
        Claim("  questions at it that did not end as they should", odd.wrong, 0, strict=True),
        Claim("  questions at it", odd.asked, 5, at_most=False, strict=True),
    ]
