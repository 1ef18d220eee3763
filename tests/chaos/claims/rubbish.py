"""Rubbish: random and mutated bytes on every socket while questions go on."""

import random
import re
import socket
import threading

import zmq
from parts import Claim, House
from harness.wire import announcement, foul_messages, message, vector


def valid_messages():
    """One good message of each kind that a socket takes, about nobody's tasks. (No WELCOME: without CURVE a worker
    believes it, and its tokens go elsewhere until the next one a second later.)"""
    passage = {"id": 1, "doc": "d", "title": "t", "text": "x", "start": 0, "end": 1, "hash": 1, "score": 1.0}
    return [
        announcement("outsider/0/lexical", shards=1),
        message("leave", worker="nobody"),
        message("search", gateway="g", route=7, task=1, request="r", text="x", k=3, deadline_ms=100),
        message("search", gateway="g", route=7, task=1, request="r", vector=vector([1.0] * 384), k=3, deadline_ms=100),
        message("hits", worker="nobody", task=1, generation="g", hits=[passage]),
        message("failed", worker="nobody", task=1, code="no", message="no"),
        message("generate", gateway="g", route=7, task=1, request="r", question="x", passages=[passage], params="{}",
                deadline_ms=100, window=4),  # fmt: skip
        message("credit", task=1, seq=1, window=64),
        message("cancel", task=1),
        message("token", task=1, seq=1, text="x"),
        message("done", task=1, seq=1, finish="stop", model="m", upstream="u", timings="{}"),
    ]


class Outsider:
    """Sends what nobody should, as ZeroMQ messages and as bare bytes, until it is told to stop."""

    def __init__(self, house, endpoints):
        self.house, self.endpoints = house, endpoints
        self.over = threading.Event()
        self.sent = self.connections = 0
        self.threads = [threading.Thread(target=work, daemon=True) for work in (self.messages, self.bytes)]
        for thread in self.threads:
            thread.start()

    def messages(self):
        context, sockets, topic = zmq.Context(), [], b""
        for kind, endpoint in self.endpoints:
            sockets.append(context.socket(kind))
            sockets[-1].linger = 0
            sockets[-1].sndtimeo = 100
            sockets[-1].rcvtimeo = 10_000
            sockets[-1].connect(endpoint)
            if kind == zmq.XPUB:
                topic = sockets[-1].recv()[1:]  # what the gateway subscribed to
        seed = 0
        while not self.over.is_set():
            seed += 1
            for _, data in foul_messages(valid_messages(), seed):
                if self.over.is_set():
                    break
                for sock in sockets:
                    try:
                        sock.send(topic + data if sock.type == zmq.XPUB else data)
                        self.sent += 1
                    except zmq.Again:
                        pass
                self.over.wait(0.002)
        for sock in sockets:
            sock.close()
        context.term()

    def bytes(self):
        rng = random.Random(5)
        ports = [int(re.search(r":(\d+)$", endpoint).group(1)) for _, endpoint in self.endpoints]
        ports += [gateway.port for gateway in self.house.gateways]
        greeting = b"\xff\0\0\0\0\0\0\0\1\x7f\3\0NULL" + bytes(48)
        while not self.over.is_set():
            start = rng.choice((b"", greeting[: rng.randrange(64)], greeting, b"POST /v1/ask HTTP/1.1\r\n"))
            try:
                with socket.create_connection(("127.0.0.1", rng.choice(ports)), 1) as sock:
                    sock.sendall(start + rng.randbytes(rng.choice((1, 10, 100, 5000))))
                    self.connections += 1
                    sock.settimeout(0.01)
                    sock.recv(100)
            except OSError:
                pass
            self.over.wait(0.01)

    def end(self):
        self.over.set()
        for thread in self.threads:
            thread.join()


def run(short=False, say=print):
    seconds = 3 if short else 60
    with House() as house:
        house.start_llm(first_ms=20, gap_ms=5, tokens=32)
        house.start_embed(embed_ms=1)
        index = house.make_index(passages=300)
        # without CURVE anybody may announce a collection, which only those who ask for it notice
        house.start_gateways(**{"gateway.collections": "chaos"})
        house.start_retriever(index)
        house.start_generator()
        house.wait_ready(3)
        gateway = house.gateways[0]
        workers = gateway.workers()
        endpoints = [(zmq.PUSH, gateway.hub), (zmq.XPUB, gateway.tokens)]
        endpoints += [(zmq.PUSH, worker["tasks"]) for worker in workers]
        load = house.load(0, streams=4, seconds=seconds, tokens=32)
        outsider = Outsider(house, endpoints)
        result = load.result()
        outsider.end()
        house.check_alive()
    for fault in result["faults"]:
        say(f"  fault: {fault}")
    say(f"  {outsider.sent} messages, {outsider.connections} connections, {result['questions']} questions")
    return [
        Claim("rubbish on every socket: answers that failed", result["failed"], 0, strict=True),
        Claim("  foul messages taken", outsider.sent),
        Claim("  questions answered", result["whole"], 1, at_most=False, strict=True),
    ]
