"""Slow and vanishing clients beside normal ones: only the slow ones are paused, and who is gone costs nothing more."""

import os
import random
import socket
import threading
import time

from parts import Claim, House, memory_kb, percentile, until
from harness.http import request_bytes

PAD, LONG_TOKENS = 2048, 600  # an answer of more than 1.2 MB
GAP_MS = 100


def connect(gateway, body, receive_buffer=None):
    """Asks, and leaves the answer to the kernel."""
    sock = socket.socket()
    if receive_buffer:  # counts only when set before the connection is made
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.connect(("127.0.0.1", gateway.port))
    sock.sendall(request_bytes(f"127.0.0.1:{gateway.port}", "POST", "/v1/ask", body))
    return sock


class Slow:
    """Clients that read a byte a second each."""

    def __init__(self, gateway, count):
        body = {"question": "what is slow", "seed": PAD, "max_tokens": LONG_TOKENS, "kinds": ["lexical"]}
        self.socks = [connect(gateway, body, receive_buffer=4096) for _ in range(count)]
        self.read = 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        os.nice(10)  # of this thread: what the test itself takes is not to be in the others' lag
        while not self.over.wait(1 / len(self.socks)):
            sock = self.socks[self.read % len(self.socks)]
            self.read += 1
            sock.setblocking(False)
            try:
                sock.recv(1)
            except BlockingIOError:
                pass

    def drop(self):
        for sock in self.socks:
            sock.close()

    def stop(self):
        self.over.set()
        self.thread.join()


def vanish(house, count, seconds):
    """Opens streams and hangs up one after the other at random; returns how long the stand-in took to see each, in
    ms, the ways of hanging up in turn."""
    body = {"question": "who goes there", "max_tokens": 2000, "kinds": ["lexical"]}
    streams = house.llm.stats()["open"]
    socks = [connect(house.gateways[0], body) for _ in range(count)]
    until(lambda: house.llm.stats()["open"] >= streams + count, f"{count} streams more are open")
    rng, took = random.Random(count), []
    for at, sock in enumerate(rng.sample(socks, count)):
        gone = house.llm.stats()["gone"]
        if at % 2:  # without a goodbye (RST)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        left = time.monotonic()
        sock.close()
        stats = until(lambda gone=gone: (now := house.llm.stats())["gone"] > gone and now, "the LLM sees it gone")
        took.append(stats["gone_us"] / 1000 - left * 1000)
        time.sleep(rng.random() * 2 * seconds / count)
    return took


def aside(function, *args):
    """Calls it in a thread that gives way to the programs."""
    out = []

    def work():
        os.nice(10)
        out.append(function(*args))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join()
    if not out:
        raise AssertionError(f"{function.__name__} did not come to its end")
    return out[0]


def run(short=False, say=print):
    slow_count, gone_count, normal, seconds = (20, 20, 20, 2) if short else (200, 200, 100, 20)
    with House(**{"llm.max_tokens": 4000, "llm.context_tokens": 20000, "generator.slots": 1000}) as house:
        llm = house.start_llm(first_ms=50, gap_ms=GAP_MS, tokens=4000, send_buffer=32768)
        index = house.make_index(passages=500)
        house.start_gateways()
        house.start_retriever(index, **{"retriever.kinds": "lexical"})
        house.start_generator()
        house.wait_ready(2)
        gateway = house.gateways[0].process
        usual = {"streams": normal, "spread_ms": 2000, "max_tokens": 20, "tokens": 4000, "seconds": seconds}
        alone = house.load(0, **usual).result()
        before_kb = memory_kb(gateway)
        llm.stats(reset=True)
        llm.set(gap_ms=2)  # their answers come fast until their buffers are full
        slow = Slow(house.gateways[0], slow_count)

        def all_paused():
            """No token has come for a while, though none of the answers is over."""
            first = llm.stats()
            time.sleep(0.5)
            second = llm.stats()
            return second["open"] == slow_count and first["tokens"] == second["tokens"] and second

        stats = until(all_paused, "the LLM's answers to slow clients pause", 60)
        sent = stats["tokens"] / slow_count
        llm.set(gap_ms=GAP_MS)
        beside = house.load(0, **usual)
        took = aside(vanish, house, gone_count, seconds)
        lasting = beside.result()
        slow_kb = memory_kb(gateway) - before_kb
        still = llm.stats()["open"]
        # at last the slow ones leave as well, with much of their answers unread
        slow.stop()
        left = time.monotonic()
        slow.drop()
        stats = until(lambda: (now := llm.stats())["open"] == 0 and now, "the LLM sees the slow ones gone")
        slow_gone = stats["gone_us"] / 1000 - left * 1000
        house.check_alive()
        assert alone["failed"] == 0, alone["faults"]
    for fault in lasting["faults"]:
        say(f"  fault: {fault}")
    say(f"  an answer of {PAD * LONG_TOKENS / 1e6:.1f} MB pauses after {sent * PAD / 1e3:.0f} kB;"
        f" lag p50 {alone['lag_ms']['p50']:.2f} ms alone, {lasting['lag_ms']['p50']:.2f} beside;"
        f" p99 {alone['lag_ms']['p99']:.2f} and {lasting['lag_ms']['p99']:.2f}")  # fmt: skip
    return [
        Claim("slow clients: answers that the LLM has paused in", still, slow_count, at_most=False, strict=True),
        Claim("  of each answer written before it pauses", sent / LONG_TOKENS, 0.8, "x", strict=True),
        Claim("  the gateway's memory for each", slow_kb / slow_count, 1024, "kB", strict=True),
        Claim("clients gone: the LLM's answer is closed after, p99", percentile(took, 0.99), 100, "ms"),
        Claim("  after, at most", max(took), 100, "ms"),
        Claim(f"  {slow_count} slow ones gone at once: all closed after", slow_gone, 100, "ms"),
        Claim("normal clients beside them: answers that failed", lasting["failed"], 0, strict=True),
        Claim("  lag of a token p50, to that alone", lasting["lag_ms"]["p50"] / alone["lag_ms"]["p50"], 1.5, "x"),
        Claim("  lag of a token p99, to that alone", lasting["lag_ms"]["p99"] / alone["lag_ms"]["p99"], 2, "x"),
    ]
