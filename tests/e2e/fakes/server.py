"""The HTTP under both fakes: asyncio on raw sockets in a thread of its own, so that a test decides
each byte that is written, when, and how the connection ends; and knows when the peer hung up."""

import asyncio
import contextlib
import json
import socket
import struct
import threading
import time
from dataclasses import dataclass, field

from harness.ports import free_port
from harness.wait import until


@dataclass
class Recorded:
    """One request as it came and what became of it. Times are time.monotonic seconds."""

    method: str
    path: str
    headers: dict
    body: bytes
    at: float
    connection: int
    sent: list = field(default_factory=list)  # (time, bytes) of everything written
    hung_up_at: float | None = None  # the peer closed before the answer was complete
    done_at: float | None = None  # the answer was complete

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def over(self):
        return self.hung_up_at is not None or self.done_at is not None


# ---- steps that a script is made of; a script is a list of them ------------------------------------


@dataclass
class Send:
    data: bytes


@dataclass
class Sleep:
    seconds: float


@dataclass
class Close:
    """Ends the connection: in order, or with a reset."""

    reset: bool = False


@dataclass
class Hang:
    """Says nothing more until the peer gives up (or the fake is closed)."""


@dataclass
class Gate:
    """Waits until the test opens it. `reached` is set when the script gets here."""

    def __post_init__(self):
        self.reached = threading.Event()
        self._open = threading.Event()

    def open(self):
        self._open.set()


class PeerGone(Exception):
    pass


def response(status, headers, body, reason="X"):
    """A whole response with a length."""
    head = f"HTTP/1.1 {status} {reason}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head += f"Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def json_response(status, body, headers=None):
    return response(
        status, {"Content-Type": "application/json", **(headers or {})}, json.dumps(body).encode()
    )


class FakeServer:
    """Subclasses give `default_script(recorded)`. `plan(script)` is what the next request gets,
    `always(script)` every one until reset(); a script may be a function of the Recorded."""

    def __init__(self):
        self.port = free_port()
        self.requests = []
        self.connections = 0
        self._lock = threading.Lock()
        self._planned = []
        self._always = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = None
        self._writers = set()
        self.up()

    # ---- what a test says ---------------------------------------------------------------------------

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/v1"

    def plan(self, *scripts):
        with self._lock:
            self._planned.extend(scripts)

    def always(self, script):
        with self._lock:
            self._always = script

    def reset(self):
        """Forgets scripts and requests, and is up again."""
        with self._lock:
            self._planned.clear()
            self._always = None
            self.requests = []
        self.up()

    def up(self):
        if not self._server:
            self._run(self._start())

    def down(self):
        """Refuses connections and cuts those that are open."""
        if self._server:
            self._run(self._stop())

    def close(self):
        self.down()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def wait_requests(self, count, **kind):
        """Waits for that many requests; returns them."""
        return until(
            lambda: len(self.requests) >= count and list(self.requests), f"{count} requests came"
        )

    def last(self):
        return self.wait_requests(1)[-1]

    # ---- how it works -------------------------------------------------------------------------------

    def _run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    async def _start(self):
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self.port, backlog=1024, reuse_address=True
        )

    async def _stop(self):
        self._server.close()
        self._server = None
        for writer in list(self._writers):
            writer.transport.abort()
        await asyncio.sleep(0)

    def _script_for(self, recorded):
        with self._lock:
            self.requests.append(recorded)
            script = self._planned.pop(0) if self._planned else self._always
        if callable(script):
            script = script(recorded)
        return self.default_script(recorded) if script is None else script

    def default_script(self, recorded):
        raise NotImplementedError

    async def _serve(self, reader, writer):
        self.connections += 1
        connection = Connection(reader, writer, self.connections)
        self._writers.add(writer)
        try:
            writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while True:
                recorded = await connection.request()
                if recorded is None:
                    return
                try:
                    for step in self._script_for(recorded):
                        if not await connection.step(step, recorded):
                            return
                    recorded.done_at = time.monotonic()
                except (PeerGone, ConnectionError):
                    recorded.hung_up_at = time.monotonic()
                    return
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._writers.discard(writer)
            with contextlib.suppress(Exception):
                writer.close()


class Connection:
    def __init__(self, reader, writer, number):
        self.writer = writer
        self.number = number
        self.buffer = bytearray()
        self.changed = asyncio.Event()
        self.gone = False
        self.task = asyncio.ensure_future(self._read(reader))

    async def _read(self, reader):
        """Reads all the time, so that a hang-up is seen at once, also while we write."""
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                self.buffer += data
                self.changed.set()
        self.gone = True
        self.changed.set()

    async def _wait(self, timeout=None):
        """Waits for bytes or the hang-up; False when the time ran out first."""
        self.changed.clear()
        if self.gone:
            return True
        try:
            await asyncio.wait_for(self.changed.wait(), timeout)
            return True
        except asyncio.TimeoutError:
            return False

    async def request(self):
        while b"\r\n\r\n" not in self.buffer:
            if self.gone:
                return None
            await self._wait()
        head, _, rest = bytes(self.buffer).partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        method, path, _ = lines[0].split(" ", 2)
        headers = {}
        for line in lines[1:]:
            name, value = line.split(":", 1)
            headers[name.strip().lower()] = value.strip()
        size = int(headers.get("content-length", 0))
        if headers.get("expect", "").lower() == "100-continue":
            self.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        while len(self.buffer) < len(head) + 4 + size:
            if self.gone:
                return None
            await self._wait()
        body = bytes(self.buffer[len(head) + 4 : len(head) + 4 + size])
        del self.buffer[: len(head) + 4 + size]
        return Recorded(method, path, headers, body, time.monotonic(), self.number)

    async def step(self, step, recorded):
        """Does one step; False when the connection has been ended by it."""
        if isinstance(step, Send):
            if self.gone:
                raise PeerGone
            self.writer.write(step.data)
            recorded.sent.append((time.monotonic(), step.data))
            await self.writer.drain()
        elif isinstance(step, Sleep):
            await self._sleep(step.seconds)
        elif isinstance(step, Gate):
            step.reached.set()
            while not step._open.is_set():
                if self.gone:
                    raise PeerGone
                await self._wait(0.002)
        elif isinstance(step, Hang):
            while not self.gone:
                await self._wait()
            raise PeerGone
        elif isinstance(step, Close):
            if step.reset:
                sock = self.writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.writer.transport.abort()
            recorded.done_at = time.monotonic()
            return False
        else:
            raise TypeError(step)
        return True

    async def _sleep(self, seconds):
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if self.gone:
                raise PeerGone
            await self._wait(left)
