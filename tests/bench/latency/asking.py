"""Asking, drafting, and what of an answer is seen when."""

import itertools
import statistics
import sys
import time

from parts import House, Process, free_port, http, until

_session = itertools.count(1)


def median(values):
    return statistics.median(values)


def seen(stream):
    """Seconds until a person sees what: {"visible", "passages", "word", "end"}, of a stream of /v1/ask."""
    assert stream.complete and "error" not in stream.names(), stream.events[-1:]
    words = [event for event in stream.of("token") if event.data.get("text")]
    shown = [event for event in stream.events if event.name == "sources" or event.data.get("passages")]
    at = {"visible": stream.events[0], "passages": shown[0], "word": words[0], "end": stream.events[-1]}
    return {name: event.at - stream.asked_at for name, event in at.items()}


def stage_ms(stream):
    """The retrieval stage: from the question to its passages, as the gateway saw it."""
    states = stream.one("timings").data["states"]
    return sum(state["ms"] for state in states if state["state"] in ("searching", "merging"))


def all_seen(results):
    """The median of each, over several answers."""
    return {name: median([result[name] for result in results]) for name in ("visible", "passages", "word", "end")}


class Typist:
    """One question that is typed: its drafts have one name."""

    def __init__(self, url, **fields):
        self.url, self.fields, self.name = url, fields, f"typed-{time.time_ns():x}-{next(_session)}"

    def draft(self, text, timeout=60):
        """The answer's JSON; None where it was not taken or a later one came."""
        body = {"question": text, "draft": self.name, **self.fields}
        answer = http.call(self.url, "POST", "/v1/draft", body, timeout=timeout)
        assert answer.status in (200, 202, 409), (answer.status, answer.body)
        return answer.json() if answer.status == 200 else None

    def read_ahead(self, text):
        """Drafts it until its passages are read (a question of another one may have come between)."""
        for _ in range(3):
            answer = self.draft(text)
            assert answer, "the draft was not taken"
            if answer["prefill"] == "prefilled":
                return
        raise RuntimeError(f"the passages are not read ahead: {answer['prefill']}")

    def ask(self, text, **more):
        return http.ask(self.url, {"question": text, "draft": self.name, **self.fields, **more}, timeout=120)


class Model:
    """The stand-in of model.py."""

    model = "standin"

    def __init__(self, house, **settings):
        from pathlib import Path

        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/v1"
        words = [str(Path(__file__).with_name("model.py")), "--port", str(self.port)]
        for name, value in settings.items():
            words += [f"--{name.replace('_', '-')}", str(value)]
        self.process = Process("model", words, house.folder, expect_exit=None, argv0=sys.executable)
        house.closers.append(self.process.kill)
        until(self.listens, "the model's stand-in listens")

    def listens(self):
        try:
            return http.call(self.url[:-3], "GET", "/v1/models").status == 200
        except OSError:
            return False


def off(**more):
    """Settings of a gateway that does nothing beforehand."""
    return {"cache.share": "false", "cache.embeddings_mb": 0, "gateway.drafts": 0, "gateway.prefill": "false",
            "gateway.progressive_ms": 0, **more}  # fmt: skip


def on(**more):
    return {"cache.share": "true", "cache.embeddings_mb": 16, "gateway.drafts": 16, "gateway.prefill": "true",
            "gateway.progressive_ms": 15, **more}  # fmt: skip


__all__ = ["House", "Model", "Typist", "all_seen", "http", "median", "off", "on", "seen", "stage_ms", "until"]
