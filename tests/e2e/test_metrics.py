"""What operators look at: /metrics, /v1/workers, /v1/info, /v1/models, /healthz, /readyz, the log."""

import json
import re

from prometheus_client.parser import text_string_to_metric_families

from fakes import llm as fake
from harness.wait import until

QUESTION = "What pressure does the Kestrel pump run at?"
SETTINGS = {"log.format": "json"}


def families(cluster):
    answer = cluster.get("/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {f.name: f for f in text_string_to_metric_families(answer.body.decode())}


def value(found, name, **labels):
    return sum(
        sample.value
        for family in found.values()
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def test_a_prometheus_parser_reads_all_of_it(cluster):
    cluster.ask(QUESTION)
    found = families(cluster)
    assert found
    for family in found.values():
        assert family.name.startswith(("ragline_", "process_")), family.name
        assert family.documentation, family.name
        assert family.type in ("counter", "gauge", "histogram"), (family.name, family.type)
        seen = set()
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in seen, f"{key} twice"
            seen.add(key)
            assert sample.value == sample.value, "no NaN"


def test_an_answer_moves_the_figures(cluster, llm):
    before = families(cluster)
    llm.plan(fake.stream(first=0.05))
    cluster.ask(QUESTION)
    after = families(cluster)
    for name in ("ragline_time_to_first_status_seconds", "ragline_time_to_first_token_seconds"):
        assert name in after, sorted(after)
        assert value(after, f"{name}_count") == value(before, f"{name}_count") + 1
        assert value(after, f"{name}_bucket", le="+Inf") == value(after, f"{name}_count")
    first_token = "ragline_time_to_first_token_seconds_sum"
    assert value(after, first_token) - value(before, first_token) >= 0.05
    stages = {
        sample.labels["stage"]
        for sample in after["ragline_stage_duration_seconds"].samples
        if "stage" in sample.labels
    }
    assert stages, "stages are measured"


def test_buckets_of_histograms_add_up(cluster):
    cluster.ask(QUESTION)
    for family in families(cluster).values():
        if family.type != "histogram":
            continue
        rows = {}
        for sample in family.samples:
            if sample.name.endswith("_bucket"):
                labels = {k: v for k, v in sample.labels.items() if k != "le"}
                key = tuple(sorted(labels.items()))
                rows.setdefault(key, []).append((float(sample.labels["le"]), sample.value))
        for key, buckets in rows.items():
            buckets.sort()
            counts = [count for _, count in buckets]
            assert counts == sorted(counts), (family.name, key)
            assert buckets[-1][0] == float("inf")


def test_errors_are_counted(cluster, llm):
    def errors():
        return sum(
            sample.value
            for family in families(cluster).values()
            for sample in family.samples
            if re.search(r"(4xx|5xx|error|fail|status)", sample.name + str(sample.labels))
            and family.type == "counter"
        )

    before = errors()
    cluster.post("/v1/ask", b"{")
    llm.plan(fake.error(500))
    cluster.post("/v1/ask", {"question": QUESTION, "stream": False})
    assert errors() >= before + 2


def test_workers(cluster):
    workers = cluster.workers()
    assert len(workers) == 7
    by_kind = {}
    for worker in workers:
        by_kind.setdefault(worker["kind"], []).append(worker)
        for key in ("worker", "tasks", "state", "slots", "outstanding", "latency_ms", "last_seen_ms"):
            assert key in worker, (key, worker)
        assert worker["last_seen_ms"] < 5000
        assert worker["outstanding"] == 0
    assert len(by_kind["dense"]) == 3 and len(by_kind["lexical"]) == 3
    assert len({w["worker"] for w in workers}) == 7
    dense = by_kind["dense"][0]
    assert dense["space"] == "fake-embed" and dense["dimension"] == 64
    assert dense["generation"].startswith("g-")
    assert by_kind["lexical"][0]["language"] == "english"
    assert by_kind["generator"][0]["model"] == "fake-llm"


def test_served_is_counted_by_the_workers(cluster):
    before = {w["worker"]: w.get("served", 0) for w in cluster.workers()}
    cluster.ask(QUESTION)

    def counted():
        after = {w["worker"]: w.get("served", 0) for w in cluster.workers()}
        return sum(after.values()) >= sum(before.values()) + 5

    until(counted, "four searches and an answer are in the announcements")


def test_info_for_the_page(cluster):
    info = cluster.get("/v1/info").json()
    collections = {c["name"]: c for c in info["collections"]}
    assert set(collections) == {"docs", "cooking"}
    docs = collections["docs"]
    assert docs["shards"] == 2
    assert docs["passages"] >= 8
    assert sorted(docs["kinds"]) == ["dense", "lexical"]
    assert docs["generation"]
    assert info["models"] and info["version"]


def test_models(cluster):
    models = cluster.get("/v1/models").json()
    assert models["object"] == "list"
    assert {"ragline", "ragline/docs", "ragline/cooking"} <= {m["id"] for m in models["data"]}
    for model in models["data"]:
        assert model["object"] == "model" and isinstance(model["created"], int) and model["owned_by"]
    assert cluster.get("/v1/models/ragline").json()["id"] == "ragline"
    assert cluster.get("/v1/models/ragline/docs").json()["id"] == "ragline/docs"
    assert cluster.get("/v1/models/ragline%2Fdocs").status in (200, 404)
    missing = cluster.get("/v1/models/gpt-4o")
    assert missing.status == 404 and missing.error["code"] == "model_not_found"


def test_probes(cluster):
    assert cluster.get("/healthz").status == 200
    assert cluster.get("/readyz").status == 200
    for path in ("/healthz", "/readyz", "/metrics", "/v1/workers", "/v1/info"):
        assert cluster.call("HEAD", path).status == 200


def test_the_log_in_json_is_json(cluster):
    cluster.ask(QUESTION)
    for process in cluster.processes:
        lines = process.log().splitlines()
        assert lines
        for line in lines:
            fields = json.loads(line)
            assert fields["level"] in ("error", "warn", "info", "debug"), fields
            message = fields.get("message") or fields.get("msg")
            assert isinstance(message, str) and message


def test_bytes_of_a_client_forge_no_log_line(cluster):
    cluster.post("/v1/ask", {"question": "x", "evil\n{\"level\":\"error\"}": 1})
    cluster.get("/%0d%0aerror%20forged", headers={"X-Evil": "a\x1b[31mb"})
    cluster.post("/v1/search", {"question": "line one\nline two \x1b[2J"})
    for line in cluster.gateway.log().splitlines():
        json.loads(line)
        assert "\x1b" not in line
