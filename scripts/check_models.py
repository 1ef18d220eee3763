"""Does a model server give what its model is known to give?  usage: check_models.py embed|llm BASE_URL

embed: the similarities that the model's makers publish for three sentences (sentence-transformers' front page).
llm:   a streamed chat completion: role or text in its chunks, a finish reason, then [DONE].
"""

import json
import sys
import urllib.request

SENTENCES = ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."]
PUBLISHED = {(0, 1): 0.6660, (0, 2): 0.1046, (1, 2): 0.1411}
TOLERANCE = 0.002  # F16 weights


def post(url, body):
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    return urllib.request.urlopen(request, timeout=120)


def check_embed(base):
    with post(base + "/embeddings", {"model": "all-MiniLM-L6-v2", "input": SENTENCES}) as answer:
        vectors = [item["embedding"] for item in json.load(answer)["data"]]
    if [len(v) for v in vectors] != [384] * 3:
        sys.exit(f"expected 3 vectors of 384 numbers, got {[len(v) for v in vectors]}")
    for (a, b), published in PUBLISHED.items():
        here = sum(x * y for x, y in zip(vectors[a], vectors[b]))
        if abs(here - published) > TOLERANCE:
            sys.exit(f"similarity of {SENTENCES[a]!r} and {SENTENCES[b]!r}: {here:.4f}, published {published}")


def check_llm(base):
    body = {
        "model": "SmolLM2-135M-Instruct",
        "messages": [{"role": "user", "content": "Paris is the capital of which country? One word."}],
        "max_tokens": 16,
        "temperature": 0,
        "stream": True,
    }
    text, finish, lines = "", None, []
    with post(base + "/chat/completions", body) as answer:
        for line in answer:
            if line.startswith(b"data: "):
                lines.append(line[6:].strip())
    if lines[-1:] != [b"[DONE]"]:
        sys.exit(f"the stream does not end with [DONE]: {lines[-3:]}")
    for line in lines[:-1]:
        for choice in json.loads(line)["choices"]:
            text += choice["delta"].get("content") or ""
            finish = choice["finish_reason"] or finish
    if "France" not in text or finish not in ("stop", "length"):
        sys.exit(f"a wrong answer: {text!r}, finish_reason {finish!r}")


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in ("embed", "llm"):
        sys.exit(__doc__)
    {"embed": check_embed, "llm": check_llm}[sys.argv[1]](sys.argv[2].rstrip("/"))
