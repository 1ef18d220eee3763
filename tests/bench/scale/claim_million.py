"""A million passages with their vectors in one process: built within bounds, mapped, searched by one thread."""

import os
import time

from harness import http
from harness.claims import Claim
from harness.wait import until
from parts import House


def forget(paths):
    """Has the kernel drop what it keeps of these files, as after a start of the machine."""
    for path in paths:
        with open(path, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def first_answer(shop, built, cold):
    """Seconds from a retriever's start to the first answer of both kinds through the gateway."""
    with House() as house:
        house.start_embed(embed_ms=0)
        house.start_gateways()
        url = house.gateways[0].url
        if cold:
            forget(shop.files(built["folder"]))

        def answered():
            answer = http.call(url, "POST", "/v1/search", {"question": "which words are where?", "collection": "scale"})
            return answer.status == 200 and answer.json()["coverage"]["answered"] == 2 and answer.json()["passages"]

        began = time.monotonic()
        house.start_retriever(built["folder"])
        until(answered, "both kinds answer", 120)
        return time.monotonic() - began


def run(shop, short=False, say=print):
    size = shop.largest
    found = shop.figures(size, say)
    built = found["built"]
    dense, lexical = found["dense"]["all"], found["lexical"]["all"]
    warm, cold = (first_answer(shop, built, cold) for cold in (False, True))
    return [
        Claim(f"{size:,} x 384: most memory of the build", built["rss_kb"] / 2**20, 4, "GB", strict=True),
        Claim("  passages built a second", size / built["s"], unit="1/s"),
        Claim("  index on disk, a passage", built["bytes"] / size, unit="bytes"),
        Claim("  retriever's start to its first answer", warm, 2, "s"),
        Claim("  the same with nothing in the page cache", cold, unit="s"),
        Claim(f"  dense, {found['factory']}: recall@10", dense["recall"], 0.95, at_most=False, strict=True),
        Claim("  dense, one thread: p50", dense["ms"]["p50"], 5, "ms"),
        Claim("  dense, one thread: p99", dense["ms"]["p99"], 20, "ms"),
        Claim("  lexical, one thread: p50", lexical["ms"]["p50"], 10, "ms"),
        Claim("  lexical, one thread: p99", lexical["ms"]["p99"], unit="ms"),
    ]
