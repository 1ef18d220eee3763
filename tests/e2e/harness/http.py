"""A small HTTP client on a bare socket: it says when each byte came, can send a request in pieces,
and can hang up at any point. For whole JSON answers; the official clients are tested elsewhere."""

import json
import socket
import ssl
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class Event:
    """One server-sent event, with when its last byte came (seconds of time.monotonic)."""

    name: str
    id: str | None
    text: str
    at: float

    @property
    def data(self):
        return json.loads(self.text)


@dataclass
class Response:
    status: int
    headers: dict  # names in lower case
    body: bytes = b""
    at: float = 0.0

    def json(self):
        return json.loads(self.body)

    @property
    def error(self):
        return self.json()["error"]


class HungUp(OSError):
    """The server closed the connection where more was due."""


class Connection:
    """`sock` is one that is connected already (to a network of its own: harness/machine.py)."""

    def __init__(self, url, timeout=30.0, context=None, receive_buffer=None, sock=None):
        parts = urlsplit(url)
        self.host = parts.netloc
        self.sock = sock or socket.socket()
        self.sock.settimeout(timeout)
        if receive_buffer:  # counts only when set before the connection is made
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if not sock:
            self.sock.connect((parts.hostname, parts.port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context:
            self.sock = context.wrap_socket(self.sock, server_hostname=parts.hostname)
        self.buffer = b""
        self.at = 0.0  # when the last bytes came

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def reset(self):
        """Hangs up without a goodbye (RST)."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)

    def request(self, method, path, body=None, headers=None):
        self.send(request_bytes(self.host, method, path, body, headers))

    def _more(self):
        data = self.sock.recv(65536)
        self.at = time.monotonic()
        if not data:
            raise HungUp("the server closed the connection")
        self.buffer += data

    def line(self):
        while b"\n" not in self.buffer:
            self._more()
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line.rstrip(b"\r").decode("latin-1")

    def take(self, size):
        while len(self.buffer) < size:
            self._more()
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def head(self):
        """Status line and headers (informational responses are passed over)."""
        while True:
            first = self.line()
            status = int(first.split(" ", 2)[1])
            headers = {}
            while line := self.line():
                name, value = line.split(":", 1)
                headers[name.strip().lower()] = value.strip()
            if status >= 200:
                return Response(status, headers, at=self.at)

    def pieces(self, head):
        """The bytes of a body as they come."""
        if head.headers.get("transfer-encoding", "").lower() == "chunked":
            while size := int(self.line().split(";")[0], 16):
                yield self.take(size)
                assert self.take(2) == b"\r\n"
            while self.line():
                pass
        elif "content-length" in head.headers:
            left = int(head.headers["content-length"])
            while left:
                if not self.buffer:
                    self._more()
                piece = self.take(min(left, len(self.buffer)))
                left -= len(piece)
                yield piece
        else:
            try:
                while True:
                    if not self.buffer:
                        self._more()
                    yield self.take(len(self.buffer))
            except HungUp:
                return

    def response(self, method="GET"):
        head = self.head()
        if method != "HEAD" and head.status not in (204, 304):
            head.body = b"".join(self.pieces(head))
        return head

    def events(self, head, comments=None):
        """Server-sent events as they come; comment lines are appended to `comments`."""
        text = b""
        for piece in self.pieces(head):
            text += piece
            while b"\n\n" in text:
                block, text = text.split(b"\n\n", 1)
                event = parse_event(block.decode(), self.at, comments)
                if event:
                    yield event
        assert not text.strip(), f"the stream ended within an event: {text[-200:]!r}"


def parse_event(block, at, comments=None):
    name, ident, data = "message", None, []
    for line in block.split("\n"):
        key, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if key == "":
            if comments is not None and line:
                comments.append((value, at))
        elif key == "event":
            name = value
        elif key == "id":
            ident = value
        elif key == "data":
            data.append(value)
        else:
            raise AssertionError(f"a line that is no field of an event: {line!r}")
    return Event(name, ident, "\n".join(data), at) if data else None


def request_bytes(host, method, path, body=None, headers=None):
    lines = {"Host": host, "Accept": "*/*"}
    if body is not None:
        if not isinstance(body, (bytes, bytearray)):
            body = json.dumps(body).encode()
        lines["Content-Type"] = "application/json"
        lines["Content-Length"] = str(len(body))
    for name, value in (headers or {}).items():
        if value is None:
            lines.pop(name, None)
        else:
            lines[name] = value
    head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items())
    return head.encode("latin-1") + b"\r\n" + (body or b"")


def call(url, method, path, body=None, headers=None, timeout=30.0, context=None):
    """One request on a connection of its own; the whole response."""
    with Connection(url, timeout, context) as connection:
        connection.request(method, path, body, headers)
        return connection.response(method)


@dataclass
class Stream:
    """A whole stream of /v1/ask as the client saw it."""

    asked_at: float
    head: Response
    events: list = field(default_factory=list)
    comments: list = field(default_factory=list)
    ended_at: float = 0.0
    complete: bool = False  # the body ended as HTTP says, not by a cut connection

    def of(self, name):
        return [event for event in self.events if event.name == name]

    def one(self, name):
        found = self.of(name)
        assert len(found) == 1, f"{len(found)} {name} events in {self.names()}"
        return found[0]

    def names(self):
        return [event.name for event in self.events]

    @property
    def text(self):
        return "".join(event.data["text"] for event in self.of("token"))

    @property
    def cites(self):
        return [event.data for event in self.of("token") if "cite" in event.data]

    @property
    def passages(self):
        return self.one("sources").data["passages"]

    @property
    def error(self):
        return self.one("error").data["error"]


def ask(url, body, path="/v1/ask", headers=None, timeout=30.0, on_event=None, context=None):
    """Asks and reads the stream to its end. `on_event` is called with (stream, event) for each; when
    it returns True the client hangs up there."""
    if isinstance(body, str):
        body = {"question": body}
    with Connection(url, timeout, context) as connection:
        asked_at = time.monotonic()
        connection.request("POST", path, body, headers)
        head = connection.head()
        stream = Stream(asked_at, head)
        if not head.headers.get("content-type", "").startswith("text/event-stream"):
            head.body = b"".join(connection.pieces(head))
            stream.complete = True
            return stream
        try:
            for event in connection.events(head, stream.comments):
                stream.events.append(event)
                if on_event and on_event(stream, event):
                    return stream
            stream.complete = True
        except HungUp:
            pass
        stream.ended_at = time.monotonic()
        return stream
