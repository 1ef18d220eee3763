#!/usr/bin/env python3
"""A stand-in for an LLM server that keeps what it has read, as llama-server does: the time to the first token is a
constant and the time to read what of the prompt it has not read before; then a token every so often.

usage: model.py --port P [--fixed-ms 50] [--read-ms 450] [--prompt-chars 3600] [--gap-ms 50] [--tokens 61]

A prompt of --prompt-chars takes --read-ms to read, others in proportion. What it has read stays for the last eight
prompts; one that begins as one of them goes on from there. What it says depends on the prompt alone.
GET /v1/models and /props say what llama-server says. GET /prompts gives the last prompts.
"""

import argparse
import collections
import hashlib
import http.server
import json
import socket
import threading
import time

WORDS = "the pump valve gauge runs at bar and is checked every hour by two people who write it down then".split()


class Model:
    def __init__(self, args):
        self.args = args
        self.lock = threading.Lock()
        self.read = collections.OrderedDict()  # text: None, what was read last is last

    def begin(self, prompt):
        """(characters of it that had been read before, those to be read)."""
        with self.lock:
            common = 0
            for known in self.read:
                same = next((at for at, (a, b) in enumerate(zip(known, prompt)) if a != b), min(len(known), len(prompt)))
                common = max(common, same)
        return common, len(prompt) - common

    def end(self, prompt):
        with self.lock:
            self.read[prompt] = None
            self.read.move_to_end(prompt)
            while len(self.read) > 8:
                self.read.popitem(last=False)

    def words(self, prompt, count):
        seed = hashlib.sha256(prompt.encode()).digest()
        out = [WORDS[(seed[n % 32] + n) % len(WORDS)] + ("." if n % 12 == 11 else "") for n in range(count)]
        return [" " + word for word in out]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    model = None

    def log_message(self, *_):
        pass

    def reply(self, body):
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        if self.path == "/v1/models":
            self.reply({"object": "list", "data": [{"id": "standin", "object": "model", "owned_by": "llamacpp"}]})
        elif self.path == "/props":
            self.reply({"total_slots": 4})
        elif self.path == "/prompts":
            with self.model.lock:
                self.reply(list(self.model.read))
        else:
            self.send_error(404)

    def chunk(self, body):
        data = b"data: " + (body if isinstance(body, bytes) else json.dumps(body).encode()) + b"\n\n"
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def do_POST(self):
        began = time.monotonic()
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        model, args = self.model, self.model.args
        prompt = json.dumps(body["messages"])
        cached, fresh = model.begin(prompt)
        most = body.get("max_tokens")
        count = args.tokens if most is None else min(args.tokens, most)
        read_s = fresh / args.prompt_chars * args.read_ms / 1000
        first_s = read_s + (args.fixed_ms / 1000 if count else 0)
        usage = {"prompt_tokens": len(prompt) // 4, "completion_tokens": count, "total_tokens": len(prompt) // 4 + count,
                 "prompt_tokens_details": {"cached_tokens": cached // 4}}  # fmt: skip
        timings = {"cache_n": cached // 4, "prompt_n": fresh // 4, "prompt_ms": read_s * 1000}
        words = model.words(prompt, count)
        if not body.get("stream"):
            time.sleep(max(0.0, began + first_s + args.gap_ms / 1000 * max(0, count - 1) - time.monotonic()))
            model.end(prompt)
            choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "".join(words)}}
            self.reply({"object": "chat.completion", "model": "standin", "choices": [choice], "usage": usage})
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        base = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "standin"}
        time.sleep(max(0.0, began + first_s - time.monotonic()))
        model.end(prompt)
        for n, word in enumerate(words):
            time.sleep(max(0.0, began + first_s + n * args.gap_ms / 1000 - time.monotonic()))
            self.chunk({**base, "choices": [{"index": 0, "delta": {"content": word}, "finish_reason": None}]})
        end = {"index": 0, "delta": {}, "finish_reason": "stop" if count == args.tokens else "length"}
        self.chunk({**base, "choices": [end], "timings": timings})
        self.chunk({**base, "choices": [], "usage": usage})
        self.chunk(b"[DONE]")
        self.wfile.write(b"0\r\n\r\n")


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_):
        pass  # a client that hangs up is none


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--fixed-ms", type=float, default=50)
    parser.add_argument("--read-ms", type=float, default=450)
    parser.add_argument("--prompt-chars", type=float, default=3600)
    parser.add_argument("--gap-ms", type=float, default=50)
    parser.add_argument("--tokens", type=int, default=61)
    Handler.model = Model(parser.parse_args())
    server = Server(("127.0.0.1", Handler.model.args.port), Handler)
    server.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    server.serve_forever()


if __name__ == "__main__":
    main()
