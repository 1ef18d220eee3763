"""What is shipped starts: each program from exactly the configuration, environment, arguments, mounts and user of each
deployment file, on a machine of its own (harness/machine.py). What systemd and Kubernetes add to that (their sandboxes,
their network policies) is theirs; nothing else stands in for anything, but for the LLM and embedding servers."""

import hashlib
import os
import re
import shlex

import pytest
import yaml

from harness import documents
from harness.http import Connection
from harness.machine import Network
from harness.process import ROOT, run
from harness.wait import until

DEPLOY = ROOT / "scripts/deploy"
CONTAINERFILE = (DEPLOY / "Containerfile").read_text()
IMAGE_USER = int(re.search(r"^USER (\d+)$", CONTAINERFILE, re.M).group(1))
KEY = "a key of Alice's"


class Machine:
    """A network, and the processes that were started in it."""

    def __init__(self, folder, *addresses):
        self.network = Network(folder, *addresses)
        self.processes = []

    def start(self, name, command, env, mounts, user, **more):
        self.processes.append(self.network.start(name, command, env, mounts, user, **more))
        return self.processes[-1]

    def ask(self, address, port, method, path, body=None, headers=None):
        with Connection(f"http://{address}:{port}", sock=self.network.connect(address, port)) as connection:
            connection.request(method, path, body, headers)
            return connection.response(method)

    def ready(self, address, port, path="/readyz"):
        def look():
            for process in self.processes:
                assert process.popen.poll() in (None, 0), process.log()
            return self.ask(address, port, "GET", path).status == 200

        until(look, f"{address}:{port}{path} says 200", 30)

    def close(self):
        wrong = []
        for process in self.processes:
            try:
                if process.popen.poll() is None:
                    process.stop()
                else:
                    process._forget()
            except AssertionError as why:
                wrong.append(str(why))
        self.network.close()
        assert not wrong, "\n\n".join(wrong)


@pytest.fixture
def machine(tmp_path):
    made = []

    def make(*addresses):
        made.append(Machine(tmp_path, *addresses))
        return made[-1]

    yield make
    for one in made:
        one.close()


def well(response):
    assert response.status == 200, response.body
    assert response.json()["answer"] and "42 bar" in response.json()["passages"][0]["text"], response.body


QUESTION = {"question": "What pressure does the Kestrel pump run at?", "stream": False}


# ---- systemd ----------------------------------------------------------------------------------------------


def unit(name):
    """{key: [value…]} of a unit as it is installed."""
    out = {}
    for line in (DEPLOY / "systemd" / name).read_text().splitlines():
        if "=" in line and line[0] not in "#[":
            key, value = line.split("=", 1)
            out.setdefault(key, []).append(value)
    return out


def test_the_units_start(machine, guide):
    one = machine()
    (address,) = unit("ragline-gateway.socket")["ListenStream"]
    host, port = address.rsplit(":", 1)
    clients = one.network.listen(host, int(port))
    started = {}
    for name, instance in (
        ("ragline-retriever@.service", "docs"),
        ("ragline-generator@.service", "1"),
        ("ragline-gateway.service", ""),
        ("ragline-gateway-standby.service", ""),
    ):
        settings = unit(name)
        (command,) = settings["ExecStart"]
        # the sample is the file that administrators put there; the index is named by the instance
        mounts = [(DEPLOY / "systemd/ragline.conf", "/etc/ragline/ragline.conf", True), (guide, "/var/lib/ragline/docs", True)]
        started[name] = one.start(
            name.replace("@.service", "").replace(".service", ""),
            shlex.split(command.replace("%i", instance)),
            dict(line.split("=", 1) for line in settings["Environment"]),
            mounts,
            10002,
            listen=clients if "Sockets" in settings else None,
        )
        if name == "ragline-gateway.service":
            one.ready(host, int(port))
            well(one.ask(host, int(port), "POST", "/v1/ask", QUESTION))
    # the standby alone
    started["ragline-gateway-standby.service"].wait_log("takes questions at")
    assert started["ragline-gateway.service"].stop() == 0
    one.ready(host, int(port))
    well(one.ask(host, int(port), "POST", "/v1/ask", QUESTION))


# ---- the image ----------------------------------------------------------------------------------------------


def image_environment():
    env = {}
    for line in re.findall(r"^ENV (.*)$", CONTAINERFILE.split("FROM debian:12\n")[1], re.M):
        env.update(word.split("=", 1) for word in shlex.split(line))
    return env


def image_files():
    """Files of the tree that the image has, as mounts."""
    lines = re.findall(r"^COPY (\S+) (/\S+)$", CONTAINERFILE.split("FROM debian:12\n")[1], re.M)
    return [(ROOT / source, target, True) for source, target in lines]


def test_the_image_starts(machine, guide, llm):
    """The default command is reached at the container's address; then the pod of the README, to the letter."""
    one = machine("10.0.0.7")
    command = yaml.safe_load(re.search(r"^CMD (.*)$", CONTAINERFILE, re.M).group(1))
    one.start("ragline-gateway", command, image_environment(), image_files(), IMAGE_USER)
    one.ready("10.0.0.7", 8080, "/healthz")
    runs = re.findall(r"^ +podman run -d --pod ragline (.*)$", (DEPLOY / "README.md").read_text(), re.M)
    assert len(runs) == 3, runs
    for words in map(shlex.split, runs):
        env, mounts = image_environment(), image_files()
        while words[0].startswith("-"):
            option, value = words.pop(0), words.pop(0)
            if option == "-e":
                env.update([value.split("=", 1)])
            else:
                assert option == "-v" and value.startswith("/srv/docs:") and value.endswith(":ro"), value
                mounts.append((guide, value.split(":")[1], True))
        assert words.pop(0) == "ragline"
        if words:
            one.start(words[0], words, env, mounts, IMAGE_USER)
    one.ready("10.0.0.7", 8080)
    # the README's LLM server has the container's own address here
    one.network.forward("10.0.0.7", 8000, llm.port)
    well(one.ask("10.0.0.7", 8080, "POST", "/v1/ask", QUESTION))


# ---- Kubernetes ------------------------------------------------------------------------------------------------


def manifests():
    for path in sorted((DEPLOY / "kubernetes").glob("*.yaml")):
        yield from yaml.safe_load_all(path.read_text())


# what Kubernetes itself puts into the environment of every pod, for the service that clients use
SERVICE_VARIABLES = {
    "RAGLINE_SERVICE_HOST": "10.96.0.9",
    "RAGLINE_SERVICE_PORT": "80",
    "RAGLINE_SERVICE_PORT_HTTP": "80",
    "RAGLINE_PORT": "tcp://10.96.0.9:80",
    "RAGLINE_PORT_80_TCP": "tcp://10.96.0.9:80",
    "RAGLINE_PORT_80_TCP_PROTO": "tcp",
    "RAGLINE_PORT_80_TCP_PORT": "80",
    "RAGLINE_PORT_80_TCP_ADDR": "10.96.0.9",
}


class Pods:
    """Starts what the pods of the manifests run; all of them have one address."""

    address = "10.0.0.7"

    def __init__(self, machine, folder, claims):
        self.machine, self.folder, self.claims = machine, folder, claims
        self.all = list(manifests())
        secrets = folder / "ragline-keys"
        secrets.mkdir()
        hashed = hashlib.sha256(KEY.encode()).hexdigest()
        (secrets / "keys").write_text(f"alice sha256:{hashed}\n")
        self.sources = {"ragline-keys": secrets}
        for manifest in self.all:
            if manifest["kind"] == "ConfigMap":
                at = self.sources[manifest["metadata"]["name"]] = folder / manifest["metadata"]["name"]
                at.mkdir()
                for name, text in manifest["data"].items():
                    (at / name).write_text(text)

    def of(self, kind):
        return {m["metadata"].get("name") or m["metadata"]["generateName"]: m for m in self.all if m["kind"] == kind}

    def volume(self, volume):
        if "emptyDir" in volume:
            made = self.folder / f"empty-{volume['name']}"
            made.mkdir(exist_ok=True)
            made.chmod(0o777)
            return made, False
        for kind, name in (("configMap", "name"), ("secret", "secretName")):
            if kind in volume:
                return self.sources[volume[kind][name]], True
        claim = volume["persistentVolumeClaim"]
        return self.claims[claim["claimName"]], claim.get("readOnly", False)

    def mounts(self, spec, container):
        volumes = {volume["name"]: self.volume(volume) for volume in spec["volumes"]}
        for mount in container["volumeMounts"]:
            source, read_only = volumes[mount["name"]]
            yield source / mount.get("subPath", ""), mount["mountPath"], read_only or mount.get("readOnly", False)

    def start(self, manifest):
        spec = manifest["spec"]["template"]["spec"]
        (container,) = spec["containers"]
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        env = {**image_environment(), **SERVICE_VARIABLES}
        for variable in container["env"]:
            if "value" in variable:
                env[variable["name"]] = variable["value"]
            else:
                assert variable["valueFrom"] == {"fieldRef": {"fieldPath": "status.podIP"}}
                env[variable["name"]] = self.address
        group = spec["securityContext"].get("fsGroup")
        if group:
            for volume in spec["volumes"]:
                source, read_only = self.volume(volume)
                if not read_only:
                    os.chown(source, -1, group)
                    source.chmod(0o2775)
        name = manifest["metadata"].get("name") or manifest["metadata"]["generateName"]
        command = [*container["command"], *container.get("args", [])]
        mounts = [*image_files(), *self.mounts(spec, container)]
        return self.machine.start(name, command, env, mounts, IMAGE_USER, groups=[group] if group else [])


def test_the_pods_start(machine, tmp_path, embed):
    """The job builds the collection, gateway, retriever and generator come up with it, and answer who has a key."""
    claims = {"documents": documents.write(tmp_path / "documents", documents.GUIDE), "ragline-index": tmp_path / "index"}
    claims["ragline-index"].mkdir()
    (claims["documents"] / "scan.pdf").write_bytes(b"%PDF-1.4\n\x80\xff\xfe")  # status 1 of the builder is done, too
    one = machine(Pods.address, "10.0.0.8")
    pods = Pods(one, tmp_path, claims)
    one.network.hosts |= {name: Pods.address for name in pods.of("Service")} | {"llm": "10.0.0.8", "embed": "10.0.0.8"}
    one.network.forward("10.0.0.8", 8082, embed.port)
    (job,) = pods.of("Job").values()
    done = pods.start(job)
    assert done.wait(60) == 0 and "scan.pdf" in done.log(), done.log()
    assert set(pods.of("Deployment")) == {"ragline-gateway", "ragline-retriever", "ragline-generator"}
    for deployment in pods.of("Deployment").values():
        pods.start(deployment)
    (container,) = pods.of("Deployment")["ragline-gateway"]["spec"]["template"]["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    for probe in ("livenessProbe", "readinessProbe"):
        get = container[probe]["httpGet"]
        one.ready(Pods.address, ports[get["port"]], get["path"])
    assert one.ask(Pods.address, ports["http"], "POST", "/v1/ask", QUESTION).status == 401
    headers = {"Authorization": f"Bearer {KEY}"}
    answer = one.ask(Pods.address, ports["http"], "POST", "/v1/ask", QUESTION, headers)
    well(answer)
    assert answer.json()["coverage"]["answered"] == 4, answer.json()["coverage"]


def test_a_program_asks_only_for_its_own_files(machine, tmp_path, guide):
    """As the manifests had it: a retriever and a generator have no use for the file of the API keys, a gateway does."""
    conf = tmp_path / "ragline.conf"
    conf.write_text(
        "[gateway]\nkeys_file = /none/keys\n[llm]\nkey_file = /none/llm.key\n[engine]\nkey_file = /none/engine.key\n"
    )
    for name, needs in (
        ("ragline-gateway", ("gateway.keys_file", "llm.key_file")),
        ("ragline-retriever", ("engine.key_file",)),
        ("ragline-generator", ("llm.key_file",)),
        ("ragline-index", ("engine.key_file",)),
        ("ragline-ask", ()),
        ("ragline-top", ()),
        ("ragline-profile", ()),
    ):
        done = run(name, ["--config", conf, "--check-config"], tmp_path)
        assert done.returncode == (2 if needs else 0), (name, done.stderr)
        for option in ("gateway.keys_file", "llm.key_file", "engine.key_file"):
            assert (option in done.stderr) == (option in needs), (name, option, done.stderr)


# ---- names ---------------------------------------------------------------------------------------------------------


def test_every_variable_and_option_of_the_files_is_one():
    """A variable that no option has would be passed over, since others' may be called alike."""
    known = {"RAGLINE_CONFIG", "RAGLINE_BUILD"}
    sample = run("ragline-gateway", ["--sample-config"], ROOT).stdout
    section = ""
    for line in sample.splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif found := re.match(r"#? ?(\w+) =", line):
            known |= {f"RAGLINE_{section}_{found.group(1)}{end}".upper().replace(" ", "_") for end in ("", "_file")}
    checked = 0
    for path in [*DEPLOY.rglob("*"), ROOT / "README.md"]:
        if path.is_file():
            for name in set(re.findall(r"\bRAGLINE_[A-Z_]*[A-Z]\b", path.read_text(errors="replace"))):
                assert name in known, (path.name, name)
                checked += 1
    assert checked > 10, checked
