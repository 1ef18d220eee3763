"""The table and the plot of tests/README.md: latency against size."""

import math
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[3]
SVG = pathlib.Path(__file__).with_name("scale.svg")
BEGIN, END = "<!-- make scale-check -->", "<!-- end of make scale-check -->"
SIZE_BEGIN, SIZE_END = "<!-- make scale-check: sizing -->", "<!-- end of sizing -->"
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 920, 420, 70, 170, 30, 60
LINES = [("dense, p50", "dense", "p50", "d"), ("dense, p99", "dense", "p99", "e"),
         ("lexical, p50", "lexical", "p50", "l"), ("lexical, p99", "lexical", "p99", "m")]  # fmt: skip


def time_of(ms):
    return f"{ms:.2f} ms" if ms < 9.95 else f"{ms:.0f} ms"


def table(rows):
    lines = ["| passages | index | built in | with | bytes a passage | recall@10 | dense p50, p99 | lexical p50, p99 |",
             "| -: | - | -: | -: | -: | -: | -: | -: |"]  # fmt: skip
    for row in rows:
        built, dense, lexical = row["built"], row["dense"]["all"], row["lexical"]["all"]
        lines.append(
            f"| {row['passages']:,} | {row['factory']} | {built['s']:.0f} s | {built['rss_kb'] / 1024:,.0f} MB"
            f" | {built['bytes'] / row['passages']:,.0f} | {dense['recall']:.3f}"
            f" | {time_of(dense['ms']['p50'])}, {time_of(dense['ms']['p99'])}"
            f" | {time_of(lexical['ms']['p50'])}, {time_of(lexical['ms']['p99'])} |"
        )
    return "\n".join(lines)


class Scale:
    """A logarithmic axis in whole decades."""

    def __init__(self, values, start, stop):
        self.low, self.high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
        self.start, self.stop = start, stop

    def __call__(self, value):
        return self.start + (math.log10(value) - self.low) / (self.high - self.low) * (self.stop - self.start)

    def decades(self):
        return [10.0**at for at in range(self.low, self.high + 1)]


def svg(rows):
    sizes = [row["passages"] for row in rows]
    value = lambda row, kind, share: max(row[kind]["all"]["ms"][share], 0.001)  # noqa: E731
    x = Scale([*sizes, 10_000], LEFT, WIDTH - RIGHT)
    y = Scale([value(row, kind, share) for row in rows for _, kind, share, _ in LINES], HEIGHT - BOTTOM, TOP)
    out = []
    for size in x.decades():
        out.append(f'<path d="M{x(size):.1f} {TOP} V{HEIGHT - BOTTOM}" class="g"/>'
                   f'<text x="{x(size):.1f}" y="{HEIGHT - BOTTOM + 16}" class="a">{size:,.0f}</text>')  # fmt: skip
    for ms in y.decades():
        out.append(f'<path d="M{LEFT} {y(ms):.1f} H{WIDTH - RIGHT}" class="g"/>'
                   f'<text x="{LEFT - 8}" y="{y(ms) + 4:.1f}" class="y">{ms:g} ms</text>')  # fmt: skip
    for name, kind, share, style in LINES:
        points = [(x(row["passages"]), y(value(row, kind, share))) for row in rows]
        out.append(f'<polyline points="{" ".join(f"{a:.1f},{b:.1f}" for a, b in points)}" class="{style}"/>')
        out += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" class="{style} o"/>' for a, b in points]
        out.append(f'<text x="{points[-1][0] + 10:.1f}" y="{points[-1][1] + 4:.1f}">{name}</text>')
    for row in rows:
        out.append(f'<text x="{x(row["passages"]):.1f}" y="{HEIGHT - BOTTOM + 36}" class="a">{row["factory"]}</text>')
    style = (
        "text{font:13px system-ui,sans-serif;fill:#24302d}.a{font-size:11px;text-anchor:middle;fill:#55625f}"
        ".y{font-size:11px;text-anchor:end;fill:#55625f}.g{stroke:#24302d;stroke-opacity:.12}.b{fill:#fff}"
        "polyline{fill:none;stroke-width:2}.d{stroke:#1f6fb2}.e{stroke:#1f6fb2;stroke-dasharray:4 4}"
        ".l{stroke:#2e8b57}.m{stroke:#2e8b57;stroke-dasharray:4 4}.o{fill:#fff;stroke-width:2;stroke-dasharray:none}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img">'
        f"<title>Search time against the number of passages</title><style>{style}</style>"
        f'<rect class="b" width="{WIDTH}" height="{HEIGHT}"/>' + "\n".join(out) + "\n</svg>\n"
    )


def put(path, begin, end, new):
    text = path.read_text()
    made, count = re.subn(f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: f"{begin}\n{new}\n{end}", text, flags=re.S)
    assert count == 1, f"{path} has no place for it: {begin} … {end}"
    path.write_text(made)
    print(f"written: {path.relative_to(ROOT)}")


def write(rows, sizing):
    """Puts what was measured into the READMEs and beside them."""
    if len(rows) < 3 or not sizing:
        print("the READMEs are left as they are: only a run of all claims has what they show")
        return
    SVG.write_text(svg(rows))
    picture = f"![Search time against the number of passages]({SVG.relative_to(ROOT / 'tests')})"
    put(ROOT / "tests" / "README.md", BEGIN, END, f"{table(rows)}\n\n{picture}")
    indented = "\n".join(f"    {line}".rstrip() for line in sizing.strip().splitlines())
    put(ROOT / "retriever" / "README.md", SIZE_BEGIN, SIZE_END, "\n" + indented + "\n")
