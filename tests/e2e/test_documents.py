"""The READMEs: what they name is there (paths, options, routes, make targets), and what is there is named in one."""
import re
import subprocess

import pytest

from harness.process import BUILD, ROOT

README_PATHS = [
    "README.md", "gateway/README.md", "retriever/README.md", "generator/README.md", "scripts/deploy/README.md", "tests/README.md",
]  # fmt: skip
PROGRAMS = ["gateway", "retriever", "generator", "index", "ask", "top", "profile"]
FOLDERS = "common|gateway|retriever|generator|tests|scripts"
PATH = re.compile(rf"`((?:{FOLDERS})/[A-Za-z0-9_./*{{}},-]*|[A-Za-z0-9_]+\.(?:c|h|cc))`")
ROUTE = re.compile(r"`(?:(GET|POST|DELETE) )?(/(?:v1/[a-z/{}]+|healthz|readyz|metrics|live))(?:\?[^`]*)?`")


def text_of(path):
    return (ROOT / path).read_text()


def every_text():
    return "\n".join(text_of(path) for path in README_PATHS)


def outside_blocks(text):
    """Without indented commands, in which other people's paths and programs stand."""
    return "\n".join(line for line in text.splitlines() if not line.startswith("    "))


def sample():
    return subprocess.run([BUILD / "ragline-gateway", "--sample-config"], check=True, capture_output=True, text=True).stdout


def options():
    """The names of all options: gateway.k, upstream.*.url, and of secrets also llm.key_file."""
    found, section = set(), ""
    secret = False
    for line in sample().splitlines():
        if head := re.fullmatch(r"#?\[(\w+)( NAME)?\]", line):
            section = f"{head[1]}.*" if head[2] else head[1]
        elif option := re.fullmatch(r"#([a-z_0-9]+) = ?.*", line):
            found.add(f"{section}.{option[1]}")
            if secret:
                found.add(f"{section}.{option[1]}_file")
        secret = line.startswith("# ") and "(secret;" in line
    return found


def routes():
    """What the gateway answers: (method, path)."""
    found = set()
    for path in ROOT.glob("gateway/**/*.c"):
        found |= set(re.findall(r'\{"(GET|POST|DELETE)", "(/[^"]*)"', path.read_text()))
    return found


def matches(path, pattern):
    return path.startswith(pattern[:-1]) if pattern.endswith("*") else path == pattern


@pytest.mark.parametrize("path", README_PATHS)
def test_every_path_that_is_named_is_there(path):
    text = text_of(path)
    missing = [link for link in re.findall(r"\]\(([^)#:]+)\)", text) if not (ROOT / path).parent.joinpath(link).exists()]
    for name in PATH.findall(outside_blocks(text)):
        some = ROOT.glob(name) if "/" in name else ROOT.glob(f"*/**/{name}")
        if not any(some):
            missing.append(name)
    assert not missing


@pytest.mark.parametrize("path", README_PATHS)
def test_every_option_that_is_named_is_there(path):
    known = options()
    sections = {name.split(".")[0] for name in known}
    named = re.findall(r"`([a-z]+\.(?:\*\.)?[a-z_0-9]+)(?: = [^`]*)?`", text_of(path))
    known |= {name.replace(".*.", ".") for name in known}
    files = {"index.html", "live.html"}
    assert not [name for name in named if name.split(".")[0] in sections and name not in known | files and not name.endswith((".c", ".h", ".py"))]


@pytest.mark.parametrize("path", README_PATHS)
def test_every_flag_that_is_named_is_there(path):
    helped = "".join(
        subprocess.run([BUILD / f"ragline-{name}", "--help"], check=True, capture_output=True, text=True).stdout for name in PROGRAMS
    )
    flags = set(re.findall(r"--[a-z][a-z0-9-]+", helped))
    sections = {name.split(".")[0] for name in options()}
    named = re.findall(r"(?<![\w-])--([a-z]+)(-[a-z0-9-]+)", text_of(path))
    assert not [a + b for a, b in named if a in sections and f"--{a}{b}" not in flags]


@pytest.mark.parametrize("path", README_PATHS)
def test_every_make_target_that_is_named_is_there(path):
    targets = set(re.findall(r"^([a-z][a-z0-9-]*):", text_of("Makefile"), re.M))
    named = re.findall(r"`make ([a-z][a-z0-9-]*)", text_of(path)) + re.findall(r"^    make ([a-z][a-z0-9-]*)", text_of(path), re.M)
    assert not [name for name in named if name not in targets]


@pytest.mark.parametrize("path", README_PATHS)
def test_every_route_that_is_named_is_there(path):
    known = routes()
    named = [(method, route.split("{")[0] if "{" in route else route) for method, route in ROUTE.findall(text_of(path))]
    missing = [(m, r) for m, r in named if not any((not m or m == method) and matches(r, pattern) for method, pattern in known)]
    assert not missing


@pytest.mark.parametrize("path", README_PATHS)
def test_every_function_is_in_the_file_that_is_named(path):
    for name, file in re.findall(r"`(\w+)` in `([\w./]+\.(?:c|h|cc))`", text_of(path)):
        pattern = file if "/" in file else f"*/**/{file}"
        assert any(re.search(rf"\b{name}\(", found.read_text()) for found in ROOT.glob(pattern)), f"{name} in {file}"


def test_every_route_is_named():
    named = {(method or "GET", route) for method, route in ROUTE.findall(every_text())} | {("GET", "/")}
    missing = [
        (method, pattern) for method, pattern in routes() if not any(m == method and matches(r, pattern) for m, r in named)
    ]
    assert not missing


def test_every_option_is_in_a_table_as_the_program_has_it():
    """make docs puts the tables right."""
    done = subprocess.run(
        [ROOT / "scripts" / "doc-options", "--check", BUILD / "ragline-gateway"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_the_first_readme_is_short():
    assert len((ROOT / "README.md").read_bytes()) <= 12 * 1024
