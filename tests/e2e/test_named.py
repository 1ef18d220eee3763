"""Documents are named: what is not wholly in an index, with its reason; and by ids that are paths."""

import gzip
import json
import os
import shutil
import subprocess

import pytest
import yaml

from harness.cluster import options
from harness.documents import write
from harness.process import program, run

PDF = b"%PDF-1.4\n% all ASCII at first\n1 0 obj\n<< /Type /Page >>\nendobj\n" + b"2 0 obj\nendobj\n" * 40
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1"
DOCX = b"PK\3\4\x14\0\6\0\x08\0" + b"\0" * 18 + b"[Content_Types].xml" + b"word/document.xml" + bytes(range(256))
GBK = "水泵在夜里工作，白天休息。水泵不喜欢沙子。\n".encode("gbk") * 3
UMLAUTS = "Die Pumpe läuft in der Nacht und steht am Tag still, sagt das Handbuch.\n".encode("latin-1") * 3


def index(work, *args, wrapper=(), **settings):
    given = options({"index.out": work / "index", **settings})
    if not wrapper:
        return run("ragline-index", [*given, *map(str, args)], work)
    command = [*wrapper, program("ragline-index"), *given, *map(str, args)]
    return subprocess.run(command, cwd=work, capture_output=True, text=True, timeout=60)


def entries(path):
    return {
        (os.path.basename(entry["document"]), entry.get("line", 0)): (entry["reason"], entry["outcome"])
        for entry in map(json.loads, path.read_text().splitlines())
    }


def documents(work):
    """How many the collection has, with all changes."""
    index(work, "--merge")
    name = (work / "index" / "CURRENT").read_text().strip()
    return json.loads((work / "index" / name / "manifest.json").read_text())["documents"]


# ---- what is not wholly in the index ---------------------------------------------------------------------------------

STRANGE = {
    "paper.pdf": (PDF, "format", "left out"),
    "paper.txt": (PDF, "format", "left out"),  # whatever its name
    "later.md": (b"\n" * 100 + PDF, "format", "left out"),
    "letter.docx": (DOCX, "format", "left out"),
    "letter.rtf": (b"{\\rtf1\\ansi The pump.}", "format", "left out"),
    "sheet.xls": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 500, "format", "left out"),
    "picture.png": (PNG, "format", "left out"),
    "program": (b"\x7fELF\2\1\1" + b"\0" * 60, "format", "left out"),
    "chinese.txt": (GBK, "encoding", "left out"),
    "wide.txt": ("The pump.\n".encode("utf-16-le") * 30, "encoding", "left out"),
    "german.txt": (UMLAUTS, "encoding", "in part"),
    "broken.gz": (gzip.compress(b"The pump is broken. " * 400)[:-20], "damaged", "left out"),
    "inside.txt": (b"The pump. " * 1000 + bytes(range(256)) * 200, "format", "left out"),
}


def test_what_is_not_in_the_index_is_named_with_its_reason(tmp_path):
    folder, report = tmp_path / "in", tmp_path / "report.jsonl"
    write(folder, {"good.md": "# Pump\n\nIt runs.\n", "style.css": "p {}\n", "old.md~": "x\n", ".git/config": "x\n"})
    write(folder, {"lines.jsonl": '{"text": "a"}\nno\n{"id": [], "text": "b"}\n', "drafts/d.md": "x\n", "empty.md": ""})
    (folder / "wide-marked.txt").write_bytes("The pump hums.\n".encode("utf-16"))
    for name, (content, _, _) in STRANGE.items():
        (folder / name).write_bytes(content)
    done = index(tmp_path, folder, **{"index.report": report, "index.skip": "drafts"})
    assert done.returncode == 1, done.stderr
    expected = {(name, 0): (reason, outcome) for name, (_, reason, outcome) in STRANGE.items()}
    expected |= {("lines.jsonl", 2): ("damaged", "left out"), ("lines.jsonl", 3): ("field", "left out")}
    assert entries(report) == expected
    assert "9 format (" in done.stderr and "3 encoding (" in done.stderr, done.stderr
    assert "1 skipped" in done.stderr and "1 hidden" in done.stderr and "1 junk" in done.stderr
    assert documents(tmp_path) == 4  # good, wide-marked, german, a line
    for file in (tmp_path / "index").rglob("*"):
        assert not file.is_file() or b"endobj" not in file.read_bytes()


def test_of_many_the_first_twenty_are_named_and_all_are_counted(tmp_path):
    folder = tmp_path / "in"
    write(folder, {"a.md": "# A\n\nText.\n", "b.jsonl": "broken\n" * 5000})
    done = index(tmp_path, folder)
    assert done.returncode == 1
    assert done.stderr.count("b.jsonl:") == 20 and len(done.stderr) < 8000
    assert "5000 damaged" in done.stderr and "4980 of these are not named here" in done.stderr


def test_statuses(tmp_path):
    write(tmp_path / "in", {"a.md": "# A\n\nText.\n", "b.css": "p {}\n"})
    (tmp_path / "x.pdf").write_bytes(PDF)
    assert index(tmp_path, "x.pdf").returncode == 3
    assert index(tmp_path, "in").returncode == 0  # a style sheet is left out on purpose
    assert index(tmp_path, "--add", "x.pdf").returncode == 3
    assert index(tmp_path, "in", **{"index.report": tmp_path / "no" / "where"}).returncode == 2
    assert index(tmp_path, "--add", "x.pdf", "in").returncode == 1
    assert index(tmp_path, "--sync", "in").returncode == 0
    shutil.copy(tmp_path / "x.pdf", tmp_path / "in" / "x.pdf")
    done = index(tmp_path, "--sync", "in")
    assert done.returncode == 1 and "x.pdf: a PDF document" in done.stderr
    assert index(tmp_path, "--sync", "in", **{"index.skip": "*.pdf"}).returncode == 0


def test_a_changed_line_that_is_not_utf8_is_refused(tmp_path):
    write(tmp_path / "in", {"a.md": "# A\n\nText.\n"})
    index(tmp_path, "in")
    command = [program("ragline-index"), "--index-out", str(tmp_path / "index"), "--changes"]
    done = subprocess.run(command, input=b'{"id": "x", "text": "caf\xe9"}\n', capture_output=True, timeout=60)
    assert b"1 bytes are not UTF-8" in done.stdout and done.returncode == 3
    assert documents(tmp_path) == 1


def test_the_job_takes_an_index_in_parts_as_done(tmp_path):
    path = os.path.join(os.path.dirname(__file__), "../../scripts/deploy/kubernetes/index-job.yaml")
    with open(path) as file:
        command = yaml.safe_load(file)["spec"]["template"]["spec"]["containers"][0]["command"]
    for status, expected in ((0, 0), (1, 0), (3, 1), (130, 1)):
        tool = tmp_path / "ragline-index"
        tool.write_text(f"#!/bin/sh\nexit {status}\n")
        tool.chmod(0o755)
        env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
        assert subprocess.run([*command, "x"], env=env, timeout=60).returncode == expected


# ---- ids -------------------------------------------------------------------------------------------------------------


def test_files_of_the_same_name_do_not_take_each_others_place(tmp_path):
    write(tmp_path, {"coll/a.md": "# A\n\nText.\n", "x/notes.md": "# X\n\nOf x.\n", "y/notes.md": "# Y\n\nOf y.\n"})
    assert index(tmp_path, "coll").returncode == 0
    index(tmp_path, "--add", "x/notes.md")
    index(tmp_path, "--add", "./y//notes.md")
    assert documents(tmp_path) == 3
    done = index(tmp_path, "--delete", "x/notes.md", "y/notes.md")
    assert done.returncode == 0 and done.stdout.count("deleted") == 2
    assert documents(tmp_path) == 1


def test_a_file_below_a_root_is_named_as_in_the_build(tmp_path):
    write(tmp_path, {"coll/a/readme.md": "# A\n\nText.\n", "coll/b.md": "# B\n\nText.\n"})
    (tmp_path / "link").symlink_to("coll")
    index(tmp_path, "coll/")
    for path in ("coll/a/readme.md", tmp_path / "coll/a/readme.md", "link/a/readme.md", "./coll/a/../a//readme.md"):
        assert index(tmp_path, "--add", path).returncode == 0
        assert documents(tmp_path) == 2
    for name in ("coll", tmp_path / "coll"):  # another source, the same documents
        done = index(tmp_path, "--sync", name)
        assert " 0 deleted" in done.stdout and documents(tmp_path) == 2
    (tmp_path / "coll/b.md").unlink()
    assert "1 deleted" in index(tmp_path, "--sync", "coll").stdout
    assert "a/readme.md: deleted" in index(tmp_path, "--delete", "coll/a/readme.md").stdout


def test_ids_begin_with_the_roots_name_where_there_are_several(tmp_path):
    write(tmp_path, {"x/docs/a.md": "# A\n\nText.\n", "y/docs/a.md": "# A\n\nText.\n", "z/b.md": "# B\n\nText.\n"})
    done = index(tmp_path, "x/docs", "y/docs", "z")
    assert "the same name: ids begin with x/docs/ and y/docs/" in done.stderr.replace(str(tmp_path), "")
    done = index(tmp_path, "--delete", "x/docs/a.md", "y/docs/a.md", "z/b.md", "b.md")
    assert done.stdout.count("deleted") == 3 and done.returncode == 1
    assert "b.md: no document of the collection has this id" in done.stderr


def test_what_is_not_there_cannot_be_deleted(tmp_path):
    write(tmp_path, {"coll/a.md": "# A\n\nText.\n"})
    index(tmp_path, "coll")
    for flag in ("--delete", "--delete-source"):
        done = index(tmp_path, flag, "nothing.md")
        assert done.returncode == 3 and "no document of the collection has this" in done.stderr
    assert index(tmp_path, "--delete-source", "coll/a.md").returncode == 0
    assert index(tmp_path, "--delete", "a.md").returncode == 3  # by then it is gone


def test_an_index_without_roots_keeps_its_ids(tmp_path):
    write(tmp_path, {"coll/a/readme.md": "# A\n\nText.\n", "coll/b.md": "# B\n\nText.\n"})
    index(tmp_path, "coll")
    path = tmp_path / "index" / (tmp_path / "index" / "CURRENT").read_text().strip() / "manifest.json"
    said = json.loads(path.read_text())
    del said["build"]["roots"]
    path.write_text(json.dumps(said))
    done = index(tmp_path, "--sync", "coll")
    assert "recorded no roots" in done.stderr and "0 documents put, 0 deleted, 2 read" in done.stdout


# ---- --sync ----------------------------------------------------------------------------------------------------------


def without_permission():
    """What runs a command so that permissions hold for root too."""
    if os.geteuid() != 0:
        return ["env"]
    return ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]


@pytest.mark.parametrize("how", ["no permission", "a loop of links", "too long a path"])
def test_a_folder_that_cannot_be_listed_keeps_its_documents(tmp_path, how):
    folder = tmp_path / "in"
    write(folder, {"a.md": "# A\n\nText.\n", "sub/b.md": "# B\n\nText.\n", "sub/deep/c.md": "# C\n\nText.\n"})
    write(folder, {"subway.md": "# Subway\n\nText.\n"})
    index(tmp_path, "in")
    assert index(tmp_path, "--sync", "in").returncode == 0
    (folder / "subway.md").unlink()  # this one is gone
    wrapper = without_permission() if how == "no permission" else ["env"]
    sub = folder / "sub"
    if how == "no permission":
        sub.chmod(0)
    else:
        sub.rename(tmp_path / "elsewhere")
        sub.symlink_to("sub" if how == "a loop of links" else "x" * 300)
    done = index(tmp_path, "--sync", "in", wrapper=wrapper, **{"index.report": tmp_path / "report"})
    assert done.returncode == 1, done.stderr
    assert "0 documents put, 1 deleted" in done.stdout
    reason = "folder" if how == "no permission" else "link"
    assert entries(tmp_path / "report") == {("sub", 0): (reason, "left as it was")}
    if how == "no permission":
        sub.chmod(0o755)
    else:
        sub.unlink()
        (tmp_path / "elsewhere").rename(sub)
    (sub / "b.md").unlink()
    done = index(tmp_path, "--sync", "in")
    assert done.returncode == 0 and "0 documents put, 1 deleted" in done.stdout
    assert documents(tmp_path) == 2
