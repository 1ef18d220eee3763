"""A real OpenTelemetry Collector (scripts/deps test builds it), and the server that it hands on to
what it understood."""

import os
from pathlib import Path

from fakes.server import FakeServer, Send, json_response

from .ports import free_port
from .process import Process
from .wait import PATIENCE

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ragline"
PROGRAM = CACHE / "otelcol" / "otelcol"

CONFIG = """
receivers:
  otlp:
    protocols:
      http:
        endpoint: 127.0.0.1:{port}
exporters:
  otlp_http:
    endpoint: {sink}
    encoding: json
    compression: none
    sending_queue: {{enabled: false}}
    retry_on_failure: {{enabled: false}}
service:
  telemetry:
    metrics: {{level: none}}
  pipelines:
    traces: {{receivers: [otlp], exporters: [otlp_http]}}
"""


class Span:
    """A span as the collector wrote it, in plain values."""

    def __init__(self, raw, resource):
        self.resource = resource
        self.trace, self.id, self.parent = raw["traceId"], raw["spanId"], raw.get("parentSpanId", "")
        self.name, self.kind = raw["name"], raw["kind"]
        self.start, self.end = int(raw["startTimeUnixNano"]), int(raw["endTimeUnixNano"])
        self.attributes = attributes_of(raw)
        self.events = {e["name"]: int(e["timeUnixNano"]) for e in raw.get("events", [])}
        self.error = raw.get("status", {}).get("code") == 2
        self.state = raw.get("traceState", "")

    def __repr__(self):
        return f"<{self.name} {(self.end - self.start) / 1e6:.3f} ms>"


def value_of(value):
    ((kind, plain),) = value.items()
    if kind == "arrayValue":
        return [value_of(one) for one in plain["values"]]
    return int(plain) if kind == "intValue" else plain


def attributes_of(raw):
    pairs = [(one["key"], value_of(one["value"])) for one in raw.get("attributes", [])]
    assert len(dict(pairs)) == len(pairs), f"a key comes twice: {pairs}"
    return dict(pairs)


class Sink(FakeServer):
    """Takes what a collector (or ragline itself) exports."""

    def default_script(self, recorded):
        return [Send(json_response(200, {}))]

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.port}"

    def spans(self):
        out = []
        for recorded in list(self.requests):
            for group in recorded.json["resourceSpans"]:
                resource = attributes_of(group["resource"])
                for scope in group["scopeSpans"]:
                    out += [Span(raw, resource) for raw in scope["spans"]]
        return out

    def trace(self, trace_id):
        return [span for span in self.spans() if span.trace == trace_id]


class Collector(Process):
    def __init__(self, folder):
        self.sink = Sink()
        self.port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        config = Path(folder) / "otelcol.yaml"
        config.write_text(CONFIG.format(port=self.port, sink=self.sink.endpoint))
        super().__init__("otelcol", ["--config", f"file:{config}"], folder, argv0=PROGRAM)
        self.wait_log("Everything is ready", PATIENCE * 2)

    def stop(self, timeout=PATIENCE):
        try:
            return super().stop(timeout)
        finally:
            self.sink.close()


def traceparent(trace_id, parent_id, flags="01"):
    return f"00-{trace_id}-{parent_id}-{flags}"


def read(recorded):
    """(trace id, span id, flags) of what a server was told, None without a header."""
    header = recorded.headers.get("traceparent")
    return tuple(header.split("-")[1:]) if header else None
