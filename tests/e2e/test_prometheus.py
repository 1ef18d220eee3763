"""What Prometheus and Grafana get: /metrics in the eyes of promtool and of a real Prometheus that
scrapes it, the alerts, the dashboard, and the list of all metrics."""

import hashlib
import itertools
import json
import os
import re
import shutil
import subprocess
import threading
from urllib.parse import urlencode

import pytest
import yaml
from prometheus_client import parser as text_parser
from prometheus_client.openmetrics import parser as open_parser

from conftest import CACHE, need
from fakes import embed as fake_embed
from fakes import llm as fake
from harness import http
from harness.ports import free_port
from harness.process import ROOT, Process
from harness.wait import until

SETTINGS = {"llm.fallback": "extractive", "cache.share": "true", "cache.embeddings_mb": 16, "cache.answers_mb": 1}
DEPLOY = ROOT / "scripts" / "deploy"
ALERTS = DEPLOY / "prometheus" / "alerts.yaml"
RULE_TESTS = ROOT / "tests" / "e2e" / "rules" / "alerts_test.yaml"
METRICS = DEPLOY / "prometheus" / "METRICS.md"
DASHBOARD = DEPLOY / "grafana" / "ragline.json"
OPENMETRICS = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"}
USAGE = {**fake.USAGE, "prompt_tokens_details": {"cached_tokens": 300}}
DOCS = "What pressure does the Kestrel pump run at, asks number {}?"
COOKING = "How long must the sourdough of rye bread rest, asks number {}?"
_number = itertools.count(1)


def fresh(text=DOCS):
    """A question that is not in the cache."""
    return text.format(next(_number))


# ---- what is there -------------------------------------------------------------------------------------------


def program(name):
    path = CACHE / "prometheus" / name
    found = str(path) if path.exists() else shutil.which(name)
    need(found, name)
    return found


@pytest.fixture(scope="module")
def promtool():
    """Runs promtool: promtool(*words, input=text) → CompletedProcess."""
    path = program("promtool")

    def run(*words, **more):
        return subprocess.run([path, *map(str, words)], capture_output=True, text=True, timeout=60, **more)

    return run


@pytest.fixture(scope="module")
def house(cluster, guide, _llm, _embed):
    """Two replicas of "docs", one of "cooking", two generators, and some of everything asked."""
    cluster.start_retriever(guide)
    cluster.start_generator()
    cluster.wait_ready()
    traffic(cluster, _llm, _embed)
    return cluster


def traffic(cluster, llm, embed):
    """Answers of every form, failures of every kind."""
    llm.reset()
    embed.reset()
    answer = fake.stream(every=0.002, usage=USAGE)
    for question, collections in ((DOCS, ["docs"]), (COOKING, ["cooking"]), (DOCS, ["docs", "cooking"])):
        for _ in range(3):
            llm.plan(answer)
            assert cluster.ask({"question": fresh(question), "collections": collections}).of("done")
    again = fresh()
    for _ in range(2):
        cluster.search(again)
    assert cluster.post("/v1/draft", {"question": fresh(), "draft": fresh("session-{}")}).status == 200
    chat = {"model": "ragline/docs", "messages": [{"role": "user", "content": fresh()}], "stream": True}
    assert cluster.post("/v1/chat/completions", chat).status == 200
    # the LLM server fails, a second generator or another upstream answers
    llm.always(fake.error(500))
    assert cluster.ask(fresh()).of("done")
    llm.reset()
    # the embedding server fails: nothing dense answers
    embed.plan(fake_embed.error(500))
    assert not all_answered(cluster.ask(fresh()))
    # an answer fails
    llm.plan(fake.never())
    assert cluster.ask({"question": fresh(), "timeout_ms": 200}).of("error")
    # clients leave: one while words come
    before = cluster.metrics()["ragline_cancellations_total"]
    script, gate = fake.gated(["So ", "far"], [" and further."])
    llm.plan(script)
    cluster.ask(fresh(), on_event=lambda stream, event: event.name == "token")
    gate.open()
    until(lambda: cluster.metrics()["ragline_cancellations_total"] > before, "the answer is cancelled")
    cluster.wait_idle()


def all_answered(stream):
    coverage = stream.one("sources").data["coverage"]
    return coverage["answered"] == coverage["of"]


@pytest.fixture(scope="module")
def families(house):
    """{name of a sample's family: (type, {label names}, {name of sample})} as /metrics has it."""
    out = {}
    for family in text_parser.text_string_to_metric_families(house.get("/metrics").body.decode()):
        name = family.name + ("_total" if family.type == "counter" else "")
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        out[name] = (family.type, labels, {sample.name for sample in family.samples})
    return out


# ---- the format ------------------------------------------------------------------------------------------------


def test_promtool_finds_nothing_to_complain_about(house, promtool):
    done = promtool("check", "metrics", input=house.get("/metrics").body.decode())
    assert done.returncode == 0 and not done.stdout + done.stderr, done.stdout + done.stderr


def test_promtool_would_complain(house, promtool):
    text = house.get("/metrics").body.decode() + "# TYPE ragline_wrong counter\nragline_wrong 1\n"
    done = promtool("check", "metrics", input=text)
    assert done.returncode != 0 and "ragline_wrong" in done.stderr


def test_openmetrics_for_who_asks_for_it(house):
    answer = house.get("/metrics", headers=OPENMETRICS)
    assert answer.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    found = {f.name: f for f in open_parser.text_string_to_metric_families(answer.body.decode())}
    plain = text_parser.text_string_to_metric_families(house.get("/metrics").body.decode())
    assert set(found) == {family.name for family in plain}
    exemplars = [s.exemplar for s in found["ragline_time_to_first_token_seconds"].samples if s.exemplar]
    assert exemplars
    kept = {trace["trace_id"] for trace in house.get("/v1/traces?limit=1000").json()["traces"]}
    for exemplar in exemplars:
        assert exemplar.labels["trace_id"] in kept
        assert exemplar.timestamp.sec > 1_600_000_000


def test_a_scrape_is_no_more_than_the_series_there_are(house):
    """The same names twice make no series more."""
    before = len(house.metrics())
    house.ask({"question": fresh(), "collections": ["docs"]})
    assert len(house.metrics()) == before


# ---- what the figures say ----------------------------------------------------------------------------------------


def total(metrics, name, **labels):
    wanted = [f'{label}="{value}"' for label, value in labels.items()]
    return sum(
        value
        for sample, value in metrics.items()
        if sample.split("{")[0] == name and all(label in sample for label in wanted)
    )


def test_an_answer_is_charged_to_its_stages(house, llm):
    before = house.metrics()
    llm.plan(fake.stream(first=0.12, every=0.01, usage=USAGE))
    stream = house.ask({"question": fresh(), "collections": ["docs"]})
    after = house.metrics()

    def more(name, **labels):
        return total(after, name, **labels) - total(before, name, **labels)

    stage = "ragline_stage_duration_seconds"
    for name in ("receive", "embed", "merge", "prefill", "tokens"):
        assert more(f"{stage}_count", stage=name, collection="docs") == 1, name
    for name in ("search_network", "search_queue", "search_work", "dispatch"):
        for kind in ("dense", "lexical"):
            assert more(f"{stage}_count", stage=name, collection="docs", kind=kind) == 2, name
    assert more(f"{stage}_sum", stage="prefill") >= 0.12
    assert more(f"{stage}_sum", stage="tokens") >= 0.06
    timings = stream.one("timings").data
    first = more("ragline_time_to_first_token_seconds_sum", form="ask")
    assert first == pytest.approx(timings["first_token_ms"] / 1000, abs=1e-5)
    assert more("ragline_first_token_path_seconds_total") == pytest.approx(first, abs=1e-3)
    unqueued = more("ragline_time_to_first_token_unqueued_seconds_sum", form="ask")
    assert 0.12 <= unqueued <= first + 1e-9
    per_token = more("ragline_time_per_output_token_seconds_sum")
    assert per_token == pytest.approx((timings["total_ms"] - timings["first_token_ms"]) / 7000, abs=1e-5)
    assert more("ragline_answer_duration_seconds_count", outcome="done", form="ask") == 1
    assert more("ragline_prompt_tokens_total", model="fake-llm") == 321
    assert more("ragline_cached_prompt_tokens_total", model="fake-llm") == 300
    assert more("ragline_sources_asked_total") == more("ragline_sources_answered_total") == 4


def test_what_failed_is_counted(house):
    metrics = house.metrics()
    assert total(metrics, "ragline_upstream_errors_total", code="llm_failed") >= 1
    assert total(metrics, "ragline_fallbacks_total") >= 1
    assert total(metrics, "ragline_failures_total", code="timeout") >= 1
    assert total(metrics, "ragline_embedding_errors_total") >= 1
    assert total(metrics, "ragline_incomplete_total") >= 1
    assert total(metrics, "ragline_cancellations_total") >= 1
    missing = {"collection": "docs", "kind": "dense", "outcome": "missing"}
    assert total(metrics, "ragline_source_searches_total", **missing) >= 2


def test_a_server_that_says_later_is_an_upstream_error(house, llm):
    errors = {"name": "ragline_upstream_errors_total", "code": "llm_busy"}
    before = total(house.metrics(), **errors)
    llm.plan(fake.error(429, headers={"Retry-After": "0"}), fake.stream())
    assert house.ask(fresh()).of("done")
    assert total(house.metrics(), **errors) == before + 1


def test_refusals_are_counted_by_reason(make_cluster, guide, llm, tmp_path):
    hashed = hashlib.sha256(b"secret").hexdigest()
    (tmp_path / "keys").write_text(f"alice sha256:{hashed} rate=2/min\n")
    one = make_cluster(**{"gateway.max_in_flight": 1, "gateway.keys_file": tmp_path / "keys"})
    one.start_gateway()
    one.start_retriever(guide)
    one.start_generator()
    one.wait_listening()
    key = {"Authorization": "Bearer secret"}
    until(lambda: total(one.metrics(), "ragline_workers", state="ready") == 5, "all workers are ready")
    script, gate = fake.gated(["So ", "far"], ["."])
    llm.plan(script)
    first = threading.Thread(target=one.ask, args=(fresh(),), kwargs={"headers": key})
    first.start()
    until(lambda: one.metrics()["ragline_questions_in_flight"] == 1, "the first is at work")
    assert one.ask(fresh(), headers=key).head.status == 429
    gate.open()
    first.join()
    statuses = [one.ask(fresh(), headers=key).head.status for _ in range(2)]
    assert statuses == [200, 429]
    name = "ragline_refusals_total"
    assert total(one.metrics(), name, reason="too_many_questions") == 1
    assert total(one.metrics(), name, reason="rate_limit_exceeded") == 1


CODES = [  # where a code is given, in C
    r'\b\w*fail\w*\s*\([^";{]*?"([a-z][a-z_]+)"',
    r'\bcode = (?:[^";]*\? )?"([a-z_]+)"',
    r'\bBACKEND_[A-Z]+, "([a-z_]+)"',
    r'report_fallback\([^;]*"([a-z_]+)"\)',
]


def test_codes_that_programs_fail_with_have_series_of_their_own():
    table = (ROOT / "gateway" / "observe" / "metrics.c").read_text().split("metrics_codes[] = {")[1].split("};")[0]
    known, given = set(re.findall(r'"([a-z_]+)"', table)), set()
    for folder in ("gateway", "generator", "retriever"):
        for path in (ROOT / folder).rglob("*.c"):
            if (ROOT / "retriever" / "index") in path.parents:
                continue  # ragline-index has no metrics
            text = path.read_text()
            given |= {code for pattern in CODES for code in re.findall(pattern, text)}
    assert len(given) > 25
    assert given == known - {"other"}


def test_workers_and_shards_are_told_by_collection(house):
    metrics = house.metrics()
    ready = {"state": "ready"}
    assert total(metrics, "ragline_workers", kind="dense", collection="docs", **ready) == 4
    assert total(metrics, "ragline_workers", kind="lexical", collection="cooking", **ready) == 1
    assert total(metrics, "ragline_workers", kind="generator", **ready) == 2
    assert total(metrics, "ragline_shards", kind="dense", collection="docs") == 2
    assert total(metrics, "ragline_shards_served", kind="dense", collection="docs") == 2
    assert not any("worker=" in sample for sample in metrics), "no series by worker"


def test_a_shard_without_a_worker_shows(make_cluster, cooking):
    one = make_cluster()
    one.start_gateway()
    retriever = one.start_retriever(cooking)
    one.wait_workers(2)
    served = {"kind": "dense", "collection": "cooking"}
    assert total(one.metrics(), "ragline_shards_served", **served) == 1
    assert total(one.metrics(), "ragline_workers", kind="generator", state="ready") == 0
    retriever.stop()
    one.processes.remove(retriever)

    def gone():
        metrics = one.metrics()
        return (
            total(metrics, "ragline_shards_served", **served) == 0
            and total(metrics, "ragline_shards", **served) == 1
        )

    until(gone, "the shard is there and nobody serves it")


# ---- alerts --------------------------------------------------------------------------------------------------------


def alerts():
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_the_configuration_and_the_alerts_are_right(promtool):
    done = promtool("check", "config", DEPLOY / "prometheus" / "prometheus.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    done = promtool("check", "rules", "--lint=all", "--lint-fatal", ALERTS)
    assert done.returncode == 0, done.stdout + done.stderr
    for rule in alerts():
        assert {"summary", "description"} <= set(rule["annotations"]), rule["alert"]
        assert rule["labels"]["severity"] in ("warning", "critical"), rule["alert"]


def test_each_alert_fires_where_it_should_and_only_there(promtool):
    done = promtool("test", "rules", RULE_TESTS)
    assert done.returncode == 0, done.stdout + done.stderr
    fired = {
        test["alertname"]
        for group in yaml.safe_load(RULE_TESTS.read_text())["tests"]
        for test in group.get("alert_rule_test", [])
        if test["exp_alerts"]
    }
    assert fired == {rule["alert"] for rule in alerts()}


# A metric's name with its matchers, if any.
USE = re.compile(r"\b((?:ragline|process)_[a-z_]+)(?:\{([^}]*)\})?")
# what Prometheus adds to each sample, and what is no label of a histogram's samples alone
ADDED = {"job", "instance", "le"}


def check_uses(query, families):
    """Every metric and label that a query uses is there; returns the metrics."""
    samples = {name: labels for _, labels, names in families.values() for name in names}
    used = USE.findall(query)
    for name, matchers in used:
        assert name in samples, f"{name} of {query}"
        for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers):
            assert label in samples[name] | ADDED, f"{label} of {name} in {query}"
    for labels in re.findall(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)", query):
        there = set().union(*(samples[name] for name, _ in used)) | ADDED
        for label in re.split(r"\s*,\s*", labels.strip()):
            assert label in there, f"{label} in {query}"
    return {name for name, _ in used}


def test_alerts_ask_for_what_there_is(families):
    used = set()
    for rule in alerts():
        used |= check_uses(rule["expr"], families)
    tested = USE.findall(RULE_TESTS.read_text().split("input_series", 1)[1])
    for name, matchers in tested:  # no test of a series that does not exist
        if matchers:
            check_uses(f"{name}{{{matchers}}}", families)
    assert len(used) > 10


# ---- the dashboard ---------------------------------------------------------------------------------------------------


def dashboard():
    return json.loads(DASHBOARD.read_text())


def panels():
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def queries():
    """(where, PromQL) of each query of the dashboard."""
    return [
        (f"{panel['title']} {target['refId']}", target["expr"])
        for panel in panels()
        for target in panel["targets"]
    ]


GRAFANA_TYPES = """
import type { Dashboard, Panel, RowPanel }
  from "@grafana/schema/dist/esm/raw/dashboard/x/Dashboard_types.gen";
import type { Options as StatOptions }
  from "@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen";
import type { Options as SeriesOptions, FieldConfig as SeriesFields }
  from "@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen";
type Plain<T> = T extends string ? `${T}`
  : T extends number | boolean | null | undefined ? T
  : T extends Array<infer U> ? Array<Plain<U>>
  : T extends object ? { [K in keyof T]: Plain<T[K]> } : T;
"""


def typescript(board):
    """The dashboard as TypeScript: constants of Grafana's own types."""
    lines = [GRAFANA_TYPES]

    def constant(name, kind, value):
        lines.append(f"const {name}: Plain<{kind}> = {json.dumps(value)};")

    constant("board", "Dashboard", {k: v for k, v in board.items() if k != "panels"})
    for panel in board["panels"]:
        name = f"panel{panel['id']}"
        constant(name, "RowPanel" if panel["type"] == "row" else "Panel", panel)
        if panel["type"] == "stat":
            constant(f"{name}_options", "StatOptions", panel["options"])
        if panel["type"] == "timeseries":
            constant(f"{name}_options", "SeriesOptions", panel["options"])
            constant(f"{name}_fields", "SeriesFields", panel["fieldConfig"]["defaults"]["custom"])
    return "\n".join(lines)


@pytest.fixture
def type_check():
    """type_check(dashboard) → what TypeScript's compiler complains about."""
    home = CACHE / "node"
    need(shutil.which("node"), "node")
    need((home / "node_modules" / "@grafana" / "schema").is_dir(), "Grafana's types")
    compiler = home / "node_modules" / "typescript" / "bin" / "tsc"
    words = "--noEmit --strict --skipLibCheck --module nodenext --moduleResolution nodenext --target es2022"

    def check(board):
        path = home / f"{os.getpid()}-dashboard.ts"  # types are looked for beside it
        path.write_text(typescript(board))
        try:
            done = subprocess.run(
                ["node", str(compiler), *words.split(), str(path)], capture_output=True, text=True, timeout=100
            )
            assert done.returncode == 0 or done.stdout, done.stderr
            return done.stdout
        finally:
            path.unlink()

    return check


def test_the_dashboard_is_one_in_grafanas_eyes(type_check):
    assert not type_check(dashboard())
    wrong = dashboard()
    wrong["panels"][1]["options"]["graphMode"] = "picture"
    wrong["refesh"] = wrong.pop("refresh")
    complaints = type_check(wrong)
    assert "picture" in complaints and "refesh" in complaints


def test_the_dashboard_is_in_order():
    board = dashboard()
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))
    taken = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, f"{panel['title']} lies over another"
        taken |= cells
    for panel in panels():
        assert panel["description"] and panel["title"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
    names = {"__rate_interval"} | {variable["name"] for variable in board["templating"]["list"]}
    for variable in re.findall(r"\$\{?(\w+)", DASHBOARD.read_text()):
        assert variable in names | {"__all"}, variable


def test_the_dashboard_asks_for_what_there_is(families):
    for where, query in queries():
        assert check_uses(query, families), where


def test_legends_name_labels_that_their_query_leaves():
    for panel in panels():
        for target in panel["targets"]:
            named = set(re.findall(r"{{\s*(\w+)\s*}}", target["legendFormat"]))
            kept = set(re.findall(r"\w+", " ".join(re.findall(r"\bby\s*\(([^)]*)\)", target["expr"]))))
            assert named <= kept | {"instance"}, (panel["title"], target["refId"])


# ---- a real Prometheus ---------------------------------------------------------------------------------------------------


class Prometheus:
    def __init__(self, folder, gateway):
        folder.mkdir()
        self.url = f"http://127.0.0.1:{free_port()}"
        listen = self.url.removeprefix("http://")
        config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yaml").read_text())
        config["global"] = {"scrape_interval": "200ms", "scrape_timeout": "200ms", "evaluation_interval": "200ms"}
        config["rule_files"] = [str(ALERTS)]
        config["scrape_configs"][0]["static_configs"][0]["targets"] = [gateway]
        (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
        words = [
            f"--config.file={folder}/prometheus.yaml",
            f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address={listen}",
            "--enable-feature=exemplar-storage",
        ]
        self.process = Process("prometheus", words, folder, argv0=program("prometheus"))

    def get(self, path, **parameters):
        answer = http.call(self.url, "GET", f"/api/v1/{path}?{urlencode(parameters, doseq=True)}")
        assert answer.status == 200, answer.body
        body = answer.json()
        assert body["status"] == "success", body
        return body["data"]

    def query(self, promql):
        return self.get("query", query=promql)["result"]


@pytest.fixture(scope="module")
def prometheus(house, work, _llm, _embed):
    """One that has scraped the gateway before and after more traffic."""
    one = Prometheus(work / "prometheus", f"{house.address}:{house.port}")
    try:
        name = "ragline_answers_total"
        until(lambda: one.query(name), "the gateway is scraped", 30)
        traffic(house, _llm, _embed)

        def seen():
            answered = house.metrics()[name]
            return float(one.query(name)[0]["value"][1]) == answered

        until(seen, "the answers are in Prometheus")
        yield one
    finally:
        one.process.stop()


def filled_in(query):
    values = {"$__rate_interval": "1m", "$job": "ragline", "$instance": ".*", "$collection": ".*"}
    for name, value in values.items():
        query = query.replace(name, value)
    assert "$" not in query, query
    return query


def test_prometheus_takes_all_of_it(prometheus):
    (target,) = prometheus.get("targets")["activeTargets"]
    assert target["health"] == "up" and not target["lastError"], target


@pytest.mark.parametrize("where, query", [pytest.param(*each, id=each[0]) for each in queries()])
def test_panels_show_something(prometheus, where, query):
    result = prometheus.query(filled_in(query))
    assert any(sample["value"][1] != "NaN" for sample in result), (where, query, result)


def test_choices_of_the_dashboard(prometheus, house):
    found = {}
    for variable in dashboard()["templating"]["list"]:
        if variable["type"] == "query":
            ask = variable["query"]["query"]
            series, label = re.fullmatch(r"label_values\((.*), (\w+)\)", ask).groups()
            found[variable["name"]] = prometheus.get(f"label/{label}/values", **{"match[]": filled_in(series)})
    assert found["job"] == ["ragline"]
    assert found["instance"] == [f"{house.address}:{house.port}"]
    assert {"docs", "cooking", "several"} <= set(found["collection"])


def test_alerts_run_in_prometheus(prometheus):
    def evaluated():
        groups = prometheus.get("rules")["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        assert {rule["name"] for rule in rules} == {rule["alert"] for rule in alerts()}
        assert not [rule["lastError"] for rule in rules if rule.get("lastError")]
        return all(rule["health"] == "ok" for rule in rules)

    until(evaluated, "every alert was evaluated")


def test_slow_answers_lead_to_their_traces(prometheus, house):
    series = prometheus.get(
        "query_exemplars", query="ragline_time_to_first_token_seconds_bucket", start=0, end=4e9
    )
    ids = {e["labels"]["trace_id"] for one in series for e in one["exemplars"]}
    kept = {trace["trace_id"] for trace in house.get("/v1/traces?limit=1000").json()["traces"]}
    assert ids and ids <= kept


# ---- the lists of metrics ------------------------------------------------------------------------------------------------


def test_the_list_of_metrics_is_what_there_is(house):
    """METRICS.md has a row for each, in the order of /metrics."""
    rows = []
    for family in text_parser.text_string_to_metric_families(house.get("/metrics").body.decode()):
        name = family.name + ("_total" if family.type == "counter" else "")
        labels = dict.fromkeys(label for sample in family.samples for label in sample.labels if label != "le")
        words = ", ".join(f"`{label}`" for label in labels)
        rows.append(f"| `{name}` | {family.type} | {words} | {family.documentation} |")
    told = [line for line in METRICS.read_text().splitlines() if line.startswith("| `")]
    assert told == rows


ELSEWHERE = ["gateway/README.md", "retriever/README.md", "scripts/deploy/README.md", "scripts/deploy/kubernetes/autoscaling.yaml", "scripts/deploy/kubernetes/keda.yaml"]


@pytest.mark.parametrize("path", ELSEWHERE)
def test_what_is_named_elsewhere_is_there(families, path):
    names = set(re.findall(r"\bragline_[a-z_]+\b", (ROOT / path).read_text()))
    assert names and names <= set(families), names - set(families)
