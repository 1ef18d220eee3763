"""The table and the plot of tests/README.md."""

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[3]
SVG = pathlib.Path(__file__).with_name("latency.svg")
BEGIN, END = "<!-- make bench-latency -->", "<!-- end of make bench-latency -->"
WIDTH, LABEL, ROW, TOP = 920, 270, 34, 64


def time_of(seconds):
    ms = 1000 * seconds
    return f"{ms:.1f} ms" if ms < 9.95 else f"{ms:.0f} ms" if ms < 999.5 else f"{seconds:.2f} s"


def table(named):
    title, rows = named
    lines = [f"| {title} | something to see | passages | first word | the end |", "| - | -: | -: | -: | -: |"]
    for name, at in rows:
        lines.append(f"| {name} | " + " | ".join(time_of(at[key]) for key in ("visible", "passages", "word", "end")) + " |")
    return "\n".join(lines)


def bars(named, top):
    """One table's rows: waiting in silence, status on the screen, passages on the screen, words coming."""
    title, rows = named
    longest = max(at["end"] for _, at in rows)
    scale = (WIDTH - LABEL - 30) / longest
    out = [f'<text x="16" y="{top - 12}" class="t">{title}</text>']
    for n, (name, at) in enumerate(rows):
        y = top + n * ROW
        out.append(f'<text x="16" y="{y + 17}">{name}</text>')
        edges = [0, at["visible"], at["passages"], at["word"], at["end"]]
        for kind, (start, stop) in zip("nspw", zip(edges, edges[1:])):
            if stop > start:
                x, width = LABEL + start * scale, max(0.5, (stop - start) * scale)
                out.append(f'<rect x="{x:.1f}" y="{y + 3}" width="{width:.1f}" height="20" class="{kind}"/>')
        x = LABEL + at["word"] * scale
        anchor, shift = ("end", -4) if x > WIDTH - 110 else ("start", 4)
        out.append(f'<text x="{x + shift:.1f}" y="{y + 17}" class="v" text-anchor="{anchor}">{time_of(at["word"])}</text>')
    y, step = top + len(rows) * ROW + 4, 1 if longest > 2.5 else 0.5
    for n in range(int(longest / step) + 1):
        x = LABEL + n * step * scale
        out.append(f'<path d="M{x:.1f} {top} V{y}" class="g"/><text x="{x:.1f}" y="{y + 14}" class="a">{n * step:g} s</text>')
    return out, y + 66


def svg(tables):
    body, top = [], TOP
    for named in tables:
        drawn, top = bars(named, top)
        body += drawn
    key = []
    for at, (kind, words) in enumerate(
        [("n", "nothing to see"), ("s", "status"), ("p", "passages"), ("w", "the answer, word by word (first word at …)")]
    ):
        x = (16, 150, 235, 340)[at]
        key.append(f'<rect x="{x}" y="12" width="14" height="14" class="{kind}"/><text x="{x + 20}" y="24">{words}</text>')
    style = (
        "text{font:13px system-ui,sans-serif;fill:#24302d}.t{font-weight:600}.v{font-size:12px}"
        ".a{font-size:11px;text-anchor:middle;fill:#55625f}.n{fill:#d7dedb}.s{fill:#9cc3ec}.p{fill:#c9b3ea}"
        ".w{fill:#7fcaa4}.g{stroke:#24302d;stroke-opacity:.12}.b{fill:#fff}"
    )
    height = top - 40
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">'
        f"<title>When something is to be seen</title><style>{style}</style>"
        f'<rect class="b" width="{WIDTH}" height="{height}"/>' + "".join(key) + "\n" + "\n".join(body) + "\n</svg>\n"
    )


def write(rows):
    """Puts what was measured into tests/README.md and beside it; needs all tables, so that none is lost."""
    if set(rows) != {"standin", "real"}:
        print("tests/README.md is left as it is: only a run of all parts has both tables")
        return
    tables = [rows["standin"], rows["real"]]
    SVG.write_text(svg(tables))
    readme = ROOT / "tests" / "README.md"
    text = readme.read_text()
    new = f"{BEGIN}\n" + "\n\n".join(table(named) for named in tables)
    new += f"\n\n![When something is to be seen]({SVG.relative_to(ROOT / 'tests')})\n{END}"
    made, count = re.subn(f"{re.escape(BEGIN)}.*?{re.escape(END)}", lambda _: new, text, flags=re.S)
    assert count == 1, f"tests/README.md has no place for the table: {BEGIN} … {END}"
    readme.write_text(made)
    print(f"written: tests/README.md, {SVG.relative_to(ROOT)}")
