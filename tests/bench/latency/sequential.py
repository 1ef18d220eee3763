#!/usr/bin/env python3
"""The program that most people start with: search one source after the other, build a prompt, have the model write the
whole answer, show it. With --stream it shows the model's words as they come, and changes nothing else.

usage: sequential.py SEARCH_URL LLM_URL MODEL [--stream] [--max-tokens N] [--k N] [--source JSON]… QUESTION

It searches the same index and asks the same model with the same prompt as ragline: POST /v1/search gives it the passages
of one source at a time (--source '{"kinds": ["dense"]}'; the embedding is part of that). It prints what a person would
see, with when: a JSON line each.
"""

import argparse
import http.client
import json
import time
from urllib.parse import urlsplit

PROMPT = "{passages}\n\nBased on the text above, answer the question.\nQuestion: {question}\nAnswer:"


def post(url, body):
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=120)
    connection.request("POST", parts.path, json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    if answer.status != 200:
        raise RuntimeError(f"{url}: {answer.status}: {answer.read()[:300]!r}")
    return answer


def search(url, question, sources, k):
    found = {}
    for source in sources:
        for passage in json.loads(post(f"{url}/v1/search", {"question": question, "k": k, **source}).read())["passages"]:
            found.setdefault(passage["text"], passage)
    return sorted(found.values(), key=lambda passage: -passage["score"])[:k]


def write(llm_url, model, question, passages, stream=False, max_tokens=None):
    """Has the model answer: seconds to the first word and to the end."""
    began = time.monotonic()
    text = "\n".join(f"[{n}] {passage['title']}\n{passage['text']}" for n, passage in enumerate(passages, 1))
    prompt = PROMPT.format(passages=text, question=question).strip()
    body = {"model": model, "messages": [{"role": "user", "content": prompt}], "stream": stream, "temperature": 0}
    if max_tokens:
        body["max_tokens"] = max_tokens
    answer = post(f"{llm_url}/chat/completions", body)
    word = None
    if stream:
        for line in answer:
            if not line.startswith(b"data: {"):
                continue
            choices = json.loads(line[6:])["choices"]
            if choices and choices[0]["delta"].get("content") and word is None:
                word = time.monotonic() - began
    else:
        json.loads(answer.read())["choices"][0]["message"]["content"]
    end = time.monotonic() - began
    return {"word": word or end, "end": end}


def ask(search_url, llm_url, model, question, sources, k=5, stream=False, max_tokens=None):
    """When a person sees what, in seconds: {"visible", "passages", "word", "end"}."""
    began = time.monotonic()
    passages = search(search_url, question, sources, k)
    seen = {}
    if stream:  # one that streams can show what it has found; the other one shows the answer
        seen["visible"] = seen["passages"] = time.monotonic() - began
    wrote = write(llm_url, model, question, passages, stream, max_tokens)
    searched = time.monotonic() - began - wrote["end"]
    end = searched + wrote["end"]
    seen = {**seen, **({"word": searched + wrote["word"]} if stream else {})}
    return {"visible": end, "passages": end, "word": end, **seen, "end": end}


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("search_url")
    parser.add_argument("llm_url")
    parser.add_argument("model")
    parser.add_argument("question")
    parser.add_argument("--stream", action="store_true")
    parser.add_argument("--max-tokens", type=int)
    parser.add_argument("--k", type=int, default=5)
    parser.add_argument("--source", action="append", type=json.loads)
    args = parser.parse_args()
    seen = ask(args.search_url, args.llm_url, args.model, args.question, args.source or [{}], args.k, args.stream,
               args.max_tokens)  # fmt: skip
    print(json.dumps({name: round(value, 4) for name, value in seen.items()}))


if __name__ == "__main__":
    main()
