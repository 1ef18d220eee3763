"""What people deploy with: systemd units, the container file, the Kubernetes manifests. As much as can be
checked without the engines themselves: their own checkers and models, and the programs' word on the
configuration."""

import configparser
import os
import re
import shutil
import subprocess

import pytest
import yaml
from kubernetes.client import models

from conftest import need
from harness.process import BUILD, ROOT, environment, program

DEPLOY = ROOT / "scripts/deploy"
KUBERNETES = DEPLOY / "kubernetes"
PROGRAMS = ("ragline-gateway", "ragline-retriever", "ragline-generator")


def output(*command, env=None, status=0):
    done = subprocess.run(
        [str(word) for word in command], stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=ROOT, env=env
    )
    said = done.stdout + done.stderr
    assert done.returncode == status, (command, done.returncode, said)
    return said


# ---- systemd ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """What `make install` puts in place of the programs as they are built."""
    prefix = tmp_path_factory.mktemp("prefix")
    output("make", "-o", "all", "NO_DEPS=1", f"BUILD={BUILD}", f"PREFIX={prefix}", "install")
    return prefix


@pytest.fixture(scope="module")
def units(installed):
    found = sorted((installed / "lib/systemd/system").iterdir())
    assert len(found) == 5, found
    return found


def test_units_are_right_in_systemds_own_eyes(units):
    need(shutil.which("systemd-analyze"), "systemd-analyze")
    for unit in units:
        said = output("systemd-analyze", "verify", unit)
        assert not said.strip(), (unit.name, said)


def test_units_grant_little(units):
    """On systemd's scale, where 0 is nothing at all and 9.6 an ordinary service."""
    need(shutil.which("systemd-analyze"), "systemd-analyze")
    for unit in units:
        if unit.suffix == ".service":
            output("systemd-analyze", "security", "--offline=true", "--threshold=15", "--no-pager", unit)


def test_the_account_is_made(installed, tmp_path):
    need(shutil.which("systemd-sysusers"), "systemd-sysusers")
    (tmp_path / "etc").mkdir()
    output("systemd-sysusers", f"--root={tmp_path}", installed / "lib/sysusers.d/ragline.conf")
    assert "ragline:" in (tmp_path / "etc/passwd").read_text()


def unit_settings(unit):
    """[(key, value)] of a unit: keys may come twice."""
    lines = [line for line in unit.read_text().splitlines() if "=" in line and line[0] not in "#["]
    return [tuple(line.split("=", 1)) for line in lines]


def test_the_services_fit_each_other(units, installed):
    by_name = {unit.name: unit_settings(unit) for unit in units}
    for name, settings in by_name.items():
        if not name.endswith(".service"):
            continue
        starts = [value.split()[0] for key, value in settings if key == "ExecStart"]
        assert len(starts) == 1 and os.access(starts[0], os.X_OK), (name, starts)
        assert starts[0].startswith(str(installed)), "where it was installed to"
        assert ("Restart", "always") in settings and ("RestartPreventExitStatus", "2") in settings
        # it must not be killed in the middle of its grace time
        grace = {"gateway": 10, "retriever": 5, "generator": 10}[re.match(r"ragline-(\w+)", name).group(1)]
        assert int(dict(settings)["TimeoutStopSec"]) > grace, name
    for name in ("ragline-gateway.service", "ragline-gateway-standby.service"):
        assert ("Sockets", "ragline-gateway.socket") in by_name[name]
    # workers announce themselves to the gateway and to its standby
    conf = configparser.ConfigParser()
    conf.read(installed / "share/ragline/ragline.conf")
    standby = dict(
        value.split("=", 1)
        for key, value in by_name["ragline-gateway-standby.service"]
        if key == "Environment"
    )
    hubs = [conf["gateway"]["hub"], standby["RAGLINE_GATEWAY_HUB"]]
    assert [hub.strip() for hub in conf["cluster"]["gateways"].split(",")] == hubs
    ports = [*hubs, conf["gateway"]["tokens"], standby["RAGLINE_GATEWAY_TOKENS"]]
    assert len(set(ports)) == 4


def test_the_services_configuration_holds(installed):
    for name in PROGRAMS:
        env = environment({"RAGLINE_CONFIG": str(installed / "share/ragline/ragline.conf")})
        assert "holds" in output(program(name), "--check-config", env=env)


# ---- the container file --------------------------------------------------------------------------------------


def test_the_image_has_every_library():
    """The packages of the second stage hold what the programs are linked with."""
    text = (DEPLOY / "Containerfile").read_text()
    assert re.findall(r"^FROM (\S+)", text, re.M) == ["debian:12", "debian:12"]
    packages = set(re.search(r"apt-get install [^&]*", text.split("FROM debian:12\n")[1]).group().split())
    packages |= {"libc6", "libgcc-s1"}  # of every Debian
    if "Debian GNU/Linux 12" not in output("cat", "/etc/os-release"):
        pytest.skip("not a Debian 12, whose packages the image takes")
    libraries = set()
    for path in BUILD.glob("ragline-*"):
        if os.access(path, os.X_OK) and not path.suffix:
            libraries |= set(re.findall(r"NEEDED +(\S+)", output("objdump", "-p", path)))
    # not those of a build for tests
    libraries = {name for name in libraries if not re.match(r"lib(asan|ubsan|tsan)\.", name)}
    assert {"libzmq.so.5", "libc.so.6"} <= libraries
    owners = {}  # in one call: it reads the lists of all packages
    for line in output("dpkg-query", "-S", *(f"*/{name}" for name in sorted(libraries))).splitlines():
        package, _, path = line.partition(": ")
        owners.setdefault(os.path.basename(path), set()).add(package.split(":")[0])
    for name in libraries - {"libopenblas.so.0"}:  # an alternative, of no package
        assert owners[name] & packages, (name, owners[name])
    assert any(package.startswith("libopenblas") for package in packages)


def test_the_image_is_made_of_what_is_there():
    for line in (DEPLOY / "Containerfile").read_text().splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            for source in line.split()[1:-1]:
                assert (ROOT / source).exists(), line


# ---- Kubernetes ------------------------------------------------------------------------------------------------


def documents():
    """[(file, manifest)] of all Kubernetes manifests."""
    out = []
    for path in sorted(KUBERNETES.glob("*.yaml")):
        for manifest in yaml.safe_load_all(path.read_text()):
            out.append((path.name, manifest))
    return out


def manifests(kind):
    return {m["metadata"]["name"]: m for _, m in documents() if m["kind"] == kind and "name" in m["metadata"]}


def model_of(manifest):
    version = manifest["apiVersion"].split("/")[-1]
    return getattr(models, version[0].upper() + version[1:] + manifest["kind"])


def check(manifest):
    """Against Kubernetes' own API description, which the official client's models are made from."""
    model_of(manifest).model_validate(manifest, strict=True, extra="forbid")
    check_names(manifest)


def check_names(value):
    """The models would take Python's spelling of a field, too."""
    if isinstance(value, dict):
        for key, item in value.items():
            assert "_" not in key, key
            if key != "data":
                check_names(item)
    elif isinstance(value, list):
        for item in value:
            check_names(item)


def test_manifests_are_what_kubernetes_takes():
    checked = 0
    for _, manifest in documents():
        group = manifest["apiVersion"].split("/")[0]
        if group in ("kustomize.config.k8s.io", "keda.sh"):
            continue  # not of Kubernetes itself
        check(manifest)
        checked += 1
    assert checked >= 14, checked


@pytest.mark.parametrize(
    "path, value, complaint",
    [
        (("spec", "replica"), 2, "spec.replica\n.*not permitted"),
        (("spec", "replicas"), "2", "valid integer"),
        (("spec", "template", "spec", "containers", 0, "ports"), {}, "valid list"),
        (("spec", "min_ready_seconds"), 2, "min_ready_seconds"),
        (("spec", "selector"), None, "selector\n.*required"),
    ],
)
def test_the_check_of_manifests_finds_mistakes(path, value, complaint):
    manifest = manifests("Deployment")["ragline-gateway"]
    at = manifest
    for key in path[:-1]:
        at = at[key]
    if value is None:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    with pytest.raises((AssertionError, ValueError), match=complaint):
        check(manifest)


def test_manifests_fit_each_other():
    listed = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())["resources"]
    there = {path.name for path in KUBERNETES.glob("*.yaml")}
    assert set(listed) == there - {"kustomization.yaml", "keda.yaml", "index-job.yaml"}
    deployments = manifests("Deployment")
    assert set(deployments) == {"ragline-gateway", "ragline-retriever", "ragline-generator"}
    claims, maps = manifests("PersistentVolumeClaim"), manifests("ConfigMap")
    for name, deployment in deployments.items():
        pod = deployment["spec"]["template"]
        labels = pod["metadata"]["labels"]
        assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()
        budget = manifests("PodDisruptionBudget")[name]
        assert budget["spec"]["selector"]["matchLabels"].items() <= labels.items()
        volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
        (container,) = pod["spec"]["containers"]
        assert container["command"] == [name]
        assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes)
        for volume in volumes.values():
            if "configMap" in volume:
                assert volume["configMap"]["name"] in maps
            if "persistentVolumeClaim" in volume:
                assert volume["persistentVolumeClaim"]["claimName"] in claims
    gateway = deployments["ragline-gateway"]["spec"]["template"]
    ports = {p["name"]: p["containerPort"] for p in gateway["spec"]["containers"][0]["ports"]}
    for service in manifests("Service").values():
        assert service["spec"]["selector"].items() <= gateway["metadata"]["labels"].items()
        assert all(port["targetPort"] in ports for port in service["spec"]["ports"])
    workers = manifests("Service")["ragline-gateways"]["spec"]
    assert workers["clusterIP"] == "None" and workers["publishNotReadyAddresses"] is True
    scaled = [m["spec"]["scaleTargetRef"]["name"] for _, m in documents() if "scaleTargetRef" in m.get("spec", {})]
    assert scaled == ["ragline-generator"] * 2


def config_of_pods(folder, keys):
    """The ConfigMap's file, with the paths of the pod's volumes replaced by ones that are here."""
    text = manifests("ConfigMap")["ragline"]["data"]["ragline.conf"]
    path = folder / "ragline.conf"
    path.write_text(text.replace("/etc/ragline/keys/keys", str(keys)))
    return path, text


def test_the_pods_configuration_holds(tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("alice sha256:" + "a" * 64 + "\n")
    path, text = config_of_pods(tmp_path, keys)
    for name, deployment in manifests("Deployment").items():
        spec = deployment["spec"]["template"]["spec"]
        variables = {v["name"]: v.get("value", "10.0.0.7") for v in spec["containers"][0]["env"]}
        assert "holds" in output(
            program(name), "--check-config", env=environment({**variables, "RAGLINE_CONFIG": str(path)})
        )
        # longer than the grace time: pods are not killed in the middle of it
        section = name.removeprefix("ragline-")
        conf = configparser.ConfigParser()
        conf.read_string(text)
        grace = conf.getint(section, "grace_ms") / 1000
        pause = 5 if "lifecycle" in spec["containers"][0] else 0
        assert spec["terminationGracePeriodSeconds"] > grace + pause, name
    gateways = conf["cluster"]["gateways"]
    hub = manifests("Service")["ragline-gateways"]["spec"]["ports"][0]
    assert gateways == f"tcp://ragline-gateways:{hub['port']}"
    ports = {
        p["name"]: p["containerPort"]
        for p in manifests("Deployment")["ragline-gateway"]["spec"]["template"]["spec"]["containers"][0]["ports"]
    }
    assert ports == {
        "http": int(conf["gateway"]["listen"].rsplit(":", 1)[1]),
        "hub": int(conf["gateway"]["hub"].rsplit(":", 1)[1]),
        "tokens": int(conf["gateway"]["tokens"].rsplit(":", 1)[1]),
    }


def test_probes_and_metrics_are_there(make_cluster, guide):
    """What the manifests ask of a gateway, a gateway with keys answers without one."""
    one = make_cluster()
    keys = one.folder / "keys"
    keys.write_text("alice sha256:" + "a" * 64 + "\n")
    one.start_gateway(**{"gateway.keys_file": keys})
    assert one.get("/v1/workers").status == 401
    container = manifests("Deployment")["ragline-gateway"]["spec"]["template"]["spec"]["containers"][0]
    assert one.get(container["livenessProbe"]["httpGet"]["path"]).status == 200
    assert one.get(container["readinessProbe"]["httpGet"]["path"]).status == 503
    annotations = manifests("Deployment")["ragline-gateway"]["spec"]["template"]["metadata"]["annotations"]
    metrics = one.get(annotations["prometheus.io/path"])
    assert metrics.status == 200
    for _, manifest in documents():
        for metric in manifest.get("spec", {}).get("metrics", []):
            assert metric["external"]["metric"]["name"] in metrics.body.decode()
        for trigger in manifest.get("spec", {}).get("triggers", []):
            (name,) = re.findall(r"ragline_\w+", trigger["metadata"]["query"])
            assert f"\n{name} " in metrics.body.decode()
