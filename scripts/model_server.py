"""One llama.cpp server (OpenAI-compatible: /v1/chat/completions or /v1/embeddings) in the foreground on loopback.

usage: model_server.py llm|embed MODEL.gguf ALIAS [--port P] [--parallel N] [--ctx N] [--threads N] [--verbose]

Prints one line with its address when it answers; ends on SIGTERM and SIGINT.
"""

import argparse
import os
import signal
import sys
import time
import urllib.request


def parameters(xllamacpp, args):
    params = xllamacpp.CommonParams()
    params.model.path = args.model
    params.model_alias = {args.alias}
    params.hostnames = ["127.0.0.1"]
    params.port = args.port
    params.n_parallel = args.parallel
    params.n_ctx = args.ctx * args.parallel  # the server shares it out among its slots
    params.fit_params = False  # there is no device memory to fit into
    params.n_threads_http = max(8, args.parallel + 4)
    params.cpuparams.n_threads = args.threads
    params.cpuparams_batch.n_threads = args.threads
    params.ui = False
    params.verbosity = 4 if args.verbose else 0
    # so small a model loses the thread when it samples; a request may ask for another temperature
    params.sampling.temp = 0.0
    if args.kind == "llm":
        # What is read at a time: between two batches it says how far it is, and sees who is gone.
        params.n_batch = 256
    if args.kind == "embed":
        params.embedding = True
        params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
        # a sequence must fit into one physical batch, as there is no causal mask to split it by
        params.n_batch = params.n_ubatch = max(args.ctx, 512)
    return params


def wait_until_loaded(address):
    """the server listens before the model is in memory, and answers 503 until then"""
    while True:
        try:
            with urllib.request.urlopen(address + "/health"):
                return
        except OSError:  # 503 and a refused connection both are one
            time.sleep(0.05)


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("kind", choices=["llm", "embed"])
    parser.add_argument("model")
    parser.add_argument("alias")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--parallel", type=int)
    parser.add_argument("--ctx", type=int, help="tokens a request may have")
    parser.add_argument("--threads", type=int, default=int(os.environ.get("RAGLINE_MODEL_THREADS", len(os.sched_getaffinity(0)))))
    parser.add_argument("--verbose", action="store_true")
    args = parser.parse_args()
    if not 0 <= args.port <= 65535:
        parser.error(f"--port {args.port}: a port is 0 (any) to 65535")
    args.parallel = args.parallel or 4
    args.ctx = args.ctx or (512 if args.kind == "embed" else 2048)

    # before any thread exists, so that all inherit it and the signal waits for sigwait below
    stops = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, stops)
    # Threads that spin for long while they wait for each other starve one another once something else runs beside
    # them. On 2 CPUs, tokens/s alone and beside three busy processes: default 110 and 1, 2000 turns 87 and 8,
    # passive 30 and 15.
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")
    import xllamacpp

    try:
        server = xllamacpp.Server(parameters(xllamacpp, args))
    except Exception as error:  # its own errors come as RuntimeError of many wordings
        sys.exit(f"{args.kind}-server: cannot start with {args.model} on port {args.port}: {error}")
    wait_until_loaded(server.listening_address)
    print(
        f"{args.kind}-server ready: {server.listening_address}/v1 {args.alias}"
        f" ({args.parallel} at once, {args.ctx} tokens each, {args.threads} threads)",
        flush=True,
    )
    signal.sigwait(stops)
    os._exit(0)  # nothing to save, and the server's own shutdown waits for open streams


if __name__ == "__main__":
    main()
