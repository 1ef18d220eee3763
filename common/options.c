// options: the table of every option of every program.
#include "options.h"

#include "conf.h"

#define ALL (RL_GATEWAY | RL_RETRIEVER | RL_GENERATOR | RL_INDEX | RL_ASK | RL_TOP | RL_PROFILE)
#define PROCESSES (RL_GATEWAY | RL_RETRIEVER | RL_GENERATOR)
#define WORKERS (RL_RETRIEVER | RL_GENERATOR)

#define STRING(name, value, users, help)                                                           \
    {                                                                                              \
        name, RL_STRING, value, 0, 0, NULL, users, help                                            \
    }
#define INT(name, value, min, max, users, help)                                                    \
    {                                                                                              \
        name, RL_INT, value, min, max, NULL, users, help                                           \
    }
#define NUM(name, value, min, max, users, help)                                                    \
    {                                                                                              \
        name, RL_NUMBER, value, min, max, NULL, users, help                                        \
    }
#define BOOL(name, value, users, help)                                                             \
    {                                                                                              \
        name, RL_BOOL, value, 0, 0, NULL, users, help                                              \
    }
#define CHOICE(name, value, choices, users, help)                                                  \
    {                                                                                              \
        name, RL_CHOICE, value, 0, 0, choices, users, help                                         \
    }
#define LIST(name, value, users, help)                                                             \
    {                                                                                              \
        name, RL_LIST, value, 0, 0, NULL, users, help                                              \
    }
#define SECRET(name, users, help)                                                                  \
    {                                                                                              \
        name, RL_SECRET, "", 0, 0, NULL, users, help                                               \
    }
#define FILENAME(name, users, help)                                                                \
    {                                                                                              \
        name, RL_FILE, "", 0, 0, NULL, users, help                                                 \
    }
#define FLAG(name, users, help)                                                                    \
    {                                                                                              \
        name, RL_FLAG, "", 0, 0, NULL, users, help                                                 \
    }
#define GONE(name, users, help)                                                                    \
    {                                                                                              \
        name, RL_GONE, "", 0, 0, NULL, users, help                                                 \
    }

enum {
    DAY_MS = 86400000
};

const rl_option_t rl_options[] = {
    CHOICE("log.level", "info", "error warn info debug", ALL, "least important lines to log"),
    CHOICE("log.format", "text", "text json", ALL, "form of a log line"),
    STRING("log.dump_dir", "", PROCESSES,
           "folder for what SIGUSR1 asks for, ID.json; empty: it goes into the log"),

    LIST("cluster.gateways", "tcp://127.0.0.1:7601", WORKERS,
         "hub addresses of the gateways that workers announce themselves to"),
    INT("cluster.announce_ms", "250", 10, 60000, WORKERS,
        "time between two announcements of a worker"),
    INT("cluster.lookup_ms", "2000", 50, 600000, WORKERS,
        "names in cluster.gateways are looked up again after this time"),
    INT("cluster.forget_ms", "60000", 0, DAY_MS, WORKERS,
        "a gateway whose name has lost its address is announced to for so long after that"),
    BOOL("cluster.allow_plain", "false", PROCESSES,
         "without CURVE keys, bind ZeroMQ sockets to other than loopback and ipc all the same"),

    FILENAME("curve.key_file", PROCESSES,
             "this process's own secret certificate (scripts/make-keys): encrypts all ZeroMQ "
             "sockets"),
    STRING("curve.gateway_key", "", PROCESSES,
           "public key of the gateways, which share one: its 40 characters, or the file of a "
           "public certificate"),
    STRING("curve.allowed", "", RL_GATEWAY,
           "folder of the public certificates of the workers that are let in; read again when it "
           "changes"),

    FLAG("make-keys", RL_GATEWAY, "FOLDER NAME...: make CURVE key pairs and end"),
    STRING("gateway.listen", "127.0.0.1:8080", RL_GATEWAY,
           "HTTP address and port; port 0 takes a free one"),
    BOOL("gateway.shared", "false", RL_GATEWAY,
         "let several gateways of this machine listen on one port (SO_REUSEPORT)"),
    STRING("gateway.hub", "tcp://127.0.0.1:7601", RL_GATEWAY,
           "where workers announce themselves and send hits (ZeroMQ endpoint)"),
    STRING("gateway.tokens", "tcp://127.0.0.1:7602", RL_GATEWAY,
           "where generators publish tokens (ZeroMQ endpoint)"),
    STRING("gateway.tokens_advertise", "", RL_GATEWAY,
           "gateway.tokens as generators reach it, if that is another address"),
    LIST("gateway.collections", "", RL_GATEWAY,
         "collections asked when a request names none; empty: all that are there"),
    INT("gateway.k", "8", 1, 100, RL_GATEWAY, "passages for an answer when a request does not say"),
    INT("gateway.candidates", "50", 1, 1000, RL_GATEWAY,
        "hits asked of each kind of retrieval before merging; at least k"),
    CHOICE("gateway.fusion", "convex", "convex rrf", RL_GATEWAY,
           "how hits of different kinds are put in one order"),
    NUM("gateway.weight_dense", "0.4", 0, 1000, RL_GATEWAY, "weight of dense hits in the fusion"),
    NUM("gateway.weight_lexical", "0.6", 0, 1000, RL_GATEWAY,
        "weight of lexical hits in the fusion"),
    INT("gateway.soft_ms", "1500", 1, DAY_MS, RL_GATEWAY,
        "retrieval goes on without late sources after this time, if gateway.quorum have answered"),
    INT("gateway.hard_ms", "5000", 1, DAY_MS, RL_GATEWAY,
        "retrieval ends after this time whatever has come"),
    INT("gateway.quorum", "1", 1, 1000, RL_GATEWAY,
        "sources that must have answered for the soft deadline to count"),
    NUM("gateway.hedge_share", "0.05", 0, 1, RL_GATEWAY,
        "search tasks that may be sent to a second replica when the first is slow, as a share"),
    INT("collection.*.soft_ms", "", 1, DAY_MS, RL_GATEWAY, "gateway.soft_ms for this collection"),
    INT("collection.*.hard_ms", "", 1, DAY_MS, RL_GATEWAY, "gateway.hard_ms for this collection"),
    INT("collection.*.quorum", "", 1, 1000, RL_GATEWAY, "gateway.quorum for this collection"),
    INT("gateway.timeout_ms", "120000", 1, DAY_MS, RL_GATEWAY, "longest time for a whole answer"),
    INT("gateway.max_in_flight", "4096", 1, 1000000, RL_GATEWAY,
        "questions at work at a time; more are answered 429"),
    INT("gateway.max_outstanding", "1024", 1, 100000, RL_GATEWAY,
        "tasks given to one retriever at a time; what does not fit waits in the gateway"),
    INT("gateway.drafts", "16", 0, 100000, RL_GATEWAY,
        "drafts (POST /v1/draft) at work at a time; 0: none"),
    INT("gateway.provisional_ms", "0", 0, DAY_MS, RL_GATEWAY,
        "after so long, an answer is begun with what enough sources have found; its words are held "
        "until the others have answered, and it is begun again if they change the passages; 0: off"),
    NUM("gateway.provisional_quorum", "0.5", 0, 1, RL_GATEWAY,
        "share of the sources that must have answered for that"),
    NUM("gateway.provisional_share", "0.2", 0, 1, RL_GATEWAY,
        "answers begun so, at most, as a share of all questions"),
    INT("gateway.progressive_ms", "15", 0, DAY_MS, RL_GATEWAY,
        "after so long, clients of streams see the passages of the sources that have answered, "
        "before the others have; 0: off"),
    BOOL("gateway.quick_answer", "false", RL_GATEWAY,
         "streams of POST /v1/ask get what the best passage says, word for word, while the model "
         "reads; a question's quick_answer says otherwise"),
    BOOL(
        "gateway.part_prefixes", "true", RL_GATEWAY,
        "where keys differ in what they may read, what the LLM server has read for one is not used "
        "for those with other rights (vLLM: by a salt; llama-server: not at all)"),
    BOOL("gateway.prefill", "true", RL_GATEWAY,
         "passages of a draft are read ahead where the LLM server keeps what it has read"),
    BOOL(
        "cache.share", "true", RL_GATEWAY,
        "questions use what others find or have found for the same words; false turns the cache of "
        "passages off"),
    INT("cache.passages_mb", "64", 0, 65536, RL_GATEWAY,
        "megabytes of passages kept for questions that come again; 0: none"),
    INT("cache.embeddings_mb", "16", 0, 65536, RL_GATEWAY,
        "megabytes of questions' embeddings kept; 0: none"),
    INT("cache.age_ms", "600000", 1, DAY_MS, RL_GATEWAY,
        "what the caches keep is used for so long"),
    INT("cache.answers_mb", "0", 0, 65536, RL_GATEWAY,
        "megabytes of complete answers kept, to be given again to who asks exactly the same; 0: none"),
    INT("cache.answers_age_ms", "600000", 1, DAY_MS, RL_GATEWAY,
        "an answer is given again for so long"),
    NUM("cache.semantic", "0", 0, 1, RL_GATEWAY,
        "least cosine of two questions' embeddings at which one takes the other's passages; 0: off"),
    INT("gateway.traces", "1000", 0, 100000, RL_GATEWAY,
        "timelines of answers that are kept for GET /v1/traces"),
    INT("gateway.window", "64", 4, 1024, RL_GATEWAY,
        "messages of one answer that a generator may send ahead of the client"),
    INT("gateway.max_body", "262144", 1024, 1048576, RL_GATEWAY, "bytes of a request's body"),
    INT("gateway.max_headers", "16384", 1024, 1048576, RL_GATEWAY, "bytes of a request's headers"),
    INT("gateway.max_connections", "16384", 1, 1000000, RL_GATEWAY, "open client connections"),
    INT("gateway.request_timeout_ms", "10000", 100, DAY_MS, RL_GATEWAY,
        "time from a request's first byte to its last"),
    INT("gateway.keepalive_ms", "75000", 100, DAY_MS, RL_GATEWAY,
        "an idle client connection is closed after this time"),
    INT("gateway.comment_ms", "15000", 10, DAY_MS, RL_GATEWAY,
        "a silent event stream gets a comment line after this time, so that proxies keep it open"),
    INT("gateway.resume_ms", "60000", 0, DAY_MS, RL_GATEWAY,
        "how long a resumable answer waits for a client that was cut off"),
    INT("gateway.resume_buffer", "1048576", 4096, 67108864, RL_GATEWAY,
        "bytes of events kept of a resumable answer"),
    INT("gateway.client_buffer", "262144", 4096, 67108864, RL_GATEWAY,
        "bytes kept for a client that reads slowly before its answer pauses"),
    FILENAME("gateway.keys_file", RL_GATEWAY,
             "API keys, hashed, a line each (scripts/deploy/README.md)"),
    FILENAME("gateway.tls_cert", RL_GATEWAY, "certificate chain (PEM): serve HTTPS"),
    FILENAME("gateway.tls_key", RL_GATEWAY, "private key (PEM) of gateway.tls_cert"),
    STRING("gateway.cors_origin", "", RL_GATEWAY,
           "origin that browsers may call from (https://example.org or *); empty: none"),
    BOOL("gateway.allow_public", "false", RL_GATEWAY,
         "without keys, listen on other than loopback addresses all the same"),
    INT("gateway.grace_ms", "10000", 0, DAY_MS, RL_GATEWAY,
        "time for answers at work to finish after SIGTERM"),
    CHOICE("gateway.rewrite", "off", "off llm", RL_GATEWAY,
           "have the LLM rewrite a follow-up question before retrieval (a call more)"),

    STRING("otlp.endpoint", "", RL_GATEWAY,
           "collector that traces are exported to (OTLP/HTTP, JSON): http://127.0.0.1:4318; empty: "
           "as OTEL_EXPORTER_OTLP_ENDPOINT says, or nowhere"),
    SECRET("otlp.headers", RL_GATEWAY, "headers for the collector: name=value,name=value"),
    NUM("otlp.ratio", "1", 0, 1, RL_GATEWAY,
        "share of the answers that are traced, of those whose client's traceparent does not say"),
    STRING("otlp.service", "ragline-gateway", RL_GATEWAY, "service.name of the traces"),
    INT("otlp.queue", "20000", 1, 10000000, RL_GATEWAY,
        "spans that wait for the collector at most (an answer has about 20); more are dropped"),
    INT("otlp.batch", "1000", 1, 100000, RL_GATEWAY, "spans in one request to the collector"),
    INT("otlp.delay_ms", "1000", 0, DAY_MS, RL_GATEWAY,
        "how long spans wait for more of them before they leave"),
    INT("otlp.timeout_ms", "10000", 1, DAY_MS, RL_GATEWAY, "longest time for one such request"),
    INT("otlp.retry_ms", "1000", 1, DAY_MS, RL_GATEWAY,
        "wait before a request that failed is tried again; doubles each time, up to 30 s"),
    INT("otlp.give_up_ms", "300000", 0, DAY_MS, RL_GATEWAY,
        "how long it is tried before its spans are given up"),

    STRING("embed.url", "", RL_GATEWAY | RL_INDEX,
           "embedding server, OpenAI's API: http://127.0.0.1:8082/v1; empty: lexical only"),
    STRING("embed.model", "all-MiniLM-L6-v2", RL_GATEWAY | RL_INDEX,
           "embedding model; an index built with another one is not searched"),
    SECRET("embed.key", RL_GATEWAY | RL_INDEX, "API key of the embedding server"),
    INT("embed.warm_ms", "30000", 0, DAY_MS, RL_GATEWAY,
        "an idle connection to the embedding server is kept open by a small request after so long; 0: "
        "it is not"),
    INT("embed.timeout_ms", "1000", 1, DAY_MS, RL_GATEWAY,
        "longest time for a question's embedding"),

    STRING("model.*.query_prefix", "", RL_GATEWAY | RL_INDEX,
           "put before a question when this model embeds it"),
    STRING("model.*.passage_prefix", "", RL_GATEWAY | RL_INDEX,
           "put before a passage when this model embeds it"),
    FILENAME("model.*.template", RL_GENERATOR,
             "prompt template for this model (llm.model), in place of llm.template"),

    STRING("llm.url", "", RL_GENERATOR | RL_GATEWAY,
           "LLM server, OpenAI's API: http://127.0.0.1:8081/v1; empty: extractive answers"),
    STRING("llm.model", "", RL_GENERATOR | RL_GATEWAY,
           "model's name at the LLM server; empty: its first"),
    SECRET("llm.key", RL_GENERATOR | RL_GATEWAY, "API key of the LLM server"),
    LIST("llm.upstreams", "", RL_GENERATOR,
         "names of [upstream NAME] sections, asked in this order; empty: the one of llm.url"),
    CHOICE("llm.fallback", "off", "off extractive", RL_GENERATOR,
           "what answers when the LLM cannot be reached or keeps failing"),
    INT("llm.breaker_failures", "5", 0, 1000000, RL_GENERATOR,
        "an LLM server that fails so often in a row is left alone for a while, if another can "
        "answer; 0: never"),
    INT("llm.breaker_ms", "2000", 1, DAY_MS, RL_GENERATOR,
        "how long, before one question tries it again; doubles with each failure, up to 16 times"),
    INT("llm.context_tokens", "2048", 64, 10000000, RL_GENERATOR,
        "the model's context: prompt and answer together"),
    INT("llm.max_tokens", "256", 1, 1000000, RL_GENERATOR,
        "longest answer, unless the request says less"),
    STRING("llm.params", "", RL_GENERATOR,
           "sampling fields for the LLM where a request does not say: {\"temperature\":0.2}"),
    INT("llm.connect_ms", "3000", 1, DAY_MS, RL_GENERATOR, "time to connect to the LLM server"),
    INT("llm.first_token_ms", "60000", 1, DAY_MS, RL_GENERATOR,
        "time from the request to the LLM server to its first token"),
    INT("llm.idle_ms", "30000", 1, DAY_MS, RL_GENERATOR, "longest silence between two tokens"),
    FILENAME("llm.template", RL_GENERATOR,
             "prompt template (generator/README.md); empty: the built-in one"),
    CHOICE(
        "llm.prefill", "auto", "auto off llama vllm", RL_GENERATOR,
        "prompts read ahead (drafts): off; auto: where the server says that it is llama.cpp's or "
        "vLLM, which keep what they have read"),
    INT("llm.prefill_slots", "1", 1, 100000, RL_GENERATOR, "prompts read ahead at a time"),
    INT("llm.prefill_reserve", "1", 0, 100000, RL_GENERATOR,
        "slots of the server that reading ahead leaves free"),
    INT("llm.warm_ms", "30000", 0, DAY_MS, RL_GENERATOR,
        "a connection that nothing went over for so long gets a small request, so that it stays "
        "open; 0: never"),
    INT("llm.target_first_token_ms", "0", 0, DAY_MS, RL_GENERATOR,
        "passages are cut so far that the server, as fast as it was, reads them in this time; 0: "
        "never"),

    STRING("upstream.*.url", "", RL_GENERATOR, "this LLM server, like llm.url"),
    STRING("upstream.*.model", "", RL_GENERATOR, "model's name there; empty: its first"),
    SECRET("upstream.*.key", RL_GENERATOR, "API key there (llm.key is not sent to it)"),
    FILENAME("upstream.*.template", RL_GENERATOR, "prompt template, in place of llm.template"),
    INT("upstream.*.context_tokens", "2048", 64, 10000000, RL_GENERATOR,
        "in place of llm.context_tokens"),
    INT("upstream.*.max_tokens", "256", 1, 1000000, RL_GENERATOR, "in place of llm.max_tokens"),
    STRING("upstream.*.params", "", RL_GENERATOR, "in place of llm.params"),
    INT("upstream.*.connect_ms", "3000", 1, DAY_MS, RL_GENERATOR, "in place of llm.connect_ms"),
    INT("upstream.*.first_token_ms", "60000", 1, DAY_MS, RL_GENERATOR,
        "in place of llm.first_token_ms"),
    INT("upstream.*.idle_ms", "30000", 1, DAY_MS, RL_GENERATOR, "in place of llm.idle_ms"),
    CHOICE("upstream.*.prefill", "auto", "auto off llama vllm", RL_GENERATOR,
           "in place of llm.prefill"),
    INT("upstream.*.prefill_slots", "1", 1, 100000, RL_GENERATOR, "in place of llm.prefill_slots"),
    INT("upstream.*.prefill_reserve", "1", 0, 100000, RL_GENERATOR,
        "in place of llm.prefill_reserve"),
    INT("upstream.*.warm_ms", "30000", 0, DAY_MS, RL_GENERATOR, "in place of llm.warm_ms"),
    INT("upstream.*.target_first_token_ms", "0", 0, DAY_MS, RL_GENERATOR,
        "in place of llm.target_first_token_ms"),

    LIST("retriever.index", "", RL_RETRIEVER, "folders of the collections to serve"),
    LIST("retriever.shards", "", RL_RETRIEVER, "shards to serve (0,1); empty: all"),
    LIST("retriever.kinds", "dense,lexical", RL_RETRIEVER, "kinds of retrieval to serve"),
    INT("retriever.threads", "1", 1, 256, RL_RETRIEVER, "threads that search"),
    INT("retriever.faiss_threads", "1", 1, 256, RL_RETRIEVER,
        "threads that FAISS and OpenBLAS may use inside one search"),
    STRING("retriever.bind", "tcp://127.0.0.1:*", RL_RETRIEVER, "where tasks are taken"),
    STRING("retriever.advertise", "", RL_RETRIEVER,
           "host name or address that gateways reach the tasks' socket at, if another"),
    INT("retriever.check_first_mb", "256", 0, 1000000000, RL_RETRIEVER,
        "megabytes of an index whose checksums are compared before it is served; of a larger one "
        "aside, while it is"),
    INT("retriever.queue", "1024", 1, 1000000, RL_RETRIEVER,
        "tasks waiting for one kind of retrieval of one shard; more are refused"),
    INT("retriever.grace_ms", "5000", 0, DAY_MS, RL_RETRIEVER,
        "time for waiting tasks to finish after SIGTERM"),

    CHOICE("retriever.engine", "none", "none weaviate", RL_RETRIEVER,
           "distributed engine whose collections are served (engine.…), with or without folders"),
    LIST("engine.urls", "http://127.0.0.1:8080", RL_RETRIEVER,
         "nodes of the engine; a question goes to another one when one fails"),
    SECRET("engine.key", RL_RETRIEVER | RL_INDEX, "API key of the engine"),
    LIST("engine.collections", "", RL_RETRIEVER, "collections of the engine to serve"),
    CHOICE("engine.consistency", "one", "one quorum all", RL_RETRIEVER,
           "replicas that must agree on what is found"),
    CHOICE(
        "engine.dense", "vector", "vector hybrid", RL_RETRIEVER,
        "what dense retrieval is: nearest vectors, or the engine's own mixture of these and words"),
    NUM("engine.alpha", "0.5", 0, 1, RL_RETRIEVER, "weight of the vectors in that mixture"),
    INT("engine.in_flight", "64", 1, 10000, RL_RETRIEVER,
        "questions that the engine works at, of one kind of retrieval; more wait (retriever.queue)"),
    INT("engine.connect_ms", "1000", 1, DAY_MS, RL_RETRIEVER | RL_INDEX,
        "time to connect to a node of the engine"),
    INT("engine.replicas", "1", 1, 1000, RL_INDEX,
        "copies of each passage, when a collection is made there"),
    INT("engine.shards", "0", 0, 10000, RL_INDEX,
        "its shards; 0: one below 10,000 passages (words are weighed within a shard), else the "
        "engine's choice"),
    GONE("engine.settle_ms", RL_INDEX,
         "a load ends when the engine finds what was loaded, which it searches for"),
    INT("engine.batch", "100", 1, 10000, RL_INDEX, "passages in one request to the engine"),

    STRING("generator.bind", "tcp://127.0.0.1:*", RL_GENERATOR, "where tasks are taken"),
    STRING("generator.advertise", "", RL_GENERATOR,
           "host name or address that gateways reach the tasks' socket at, if another"),
    INT("generator.slots", "256", 1, 100000, RL_GENERATOR, "answers written at a time"),
    INT("generator.queue", "1024", 0, 1000000, RL_GENERATOR, "answers waiting for a slot"),
    INT("generator.orphan_ms", "5000", 100, DAY_MS, RL_GENERATOR,
        "a gateway that takes no tokens for so long is gone, its answers are given up"),
    INT("generator.grace_ms", "10000", 0, DAY_MS, RL_GENERATOR,
        "time for answers at work to finish after SIGTERM"),

    STRING("index.out", "", RL_INDEX, "the collection's folder"),
    LIST("index.to", "", RL_INDEX,
         "load it into a distributed engine instead: URLs of its nodes (--to URL,URL)"),
    STRING("index.collection", "", RL_INDEX, "its name; empty: the folder's"),
    INT("index.shards", "1", 1, 1024, RL_INDEX, "parts to cut the collection into"),
    STRING("index.factory", "", RL_INDEX,
           "FAISS factory string (Flat, HNSW32, IVF4096,SQ8…); empty: by size"),
    INT("index.chunk_words", "180", 20, 2000, RL_INDEX, "words of a passage"),
    INT("index.chunk_tokens", "0", 0, 100000, RL_INDEX,
        "length of a passage in tokens of the embedding model (estimated), instead of words; the "
        "overlap is then in tokens too"),
    INT("index.overlap_words", "30", 0, 1000, RL_INDEX, "words repeated in the next passage"),
    STRING("index.language", "english", RL_INDEX, "language of the text, for stemming"),
    INT("index.threads", "0", 0, 1024, RL_INDEX,
        "threads that write the index; 0: as many as there are CPUs"),
    INT("index.requests", "2", 1, 256, RL_INDEX, "requests to the embedding server at a time"),
    INT("index.retries", "6", 0, 1000, RL_INDEX,
        "how often a request is repeated when the embedding server is away or busy"),
    INT("index.timeout_ms", "120000", 100, DAY_MS, RL_INDEX,
        "longest time for one request to the embedding server"),
    INT("index.check_questions", "200", 1, 10000, RL_INDEX,
        "vectors of each shard that --check searches"),
    INT("index.check_k", "10", 1, 100, RL_INDEX, "hits that --check looks at"),
    NUM("index.check_recall", "0.97", 0.01, 1, RL_INDEX,
        "share of the nearest passages that --check wants to be found"),
    FLAG("check", RL_INDEX,
         "FOLDER: compare the index there with exact search, and choose the effort of searches"),
    INT("size.passages", "0", 0, 1000000000000, RL_INDEX,
        "says what so many passages want (shards, replicas, machines) and builds nothing"),
    INT("size.dimension", "384", 1, 65536, RL_INDEX, "components of their vectors"),
    NUM("size.rate", "10", 0.001, 1000000, RL_INDEX, "questions a second at the busiest time"),
    NUM("size.latency_ms", "50", 0.1, DAY_MS, RL_INDEX,
        "longest time of a search, 99 of 100 of them"),
    INT("size.replicas", "2", 1, 1000, RL_INDEX, "retrievers of each shard, at least"),
    NUM("size.memory_gb", "0", 0, 1000000, RL_INDEX, "memory of a machine; 0: this one's"),
    INT("size.cores", "0", 0, 4096, RL_INDEX, "cores of a machine; 0: this one's"),
    STRING("size.figures", "", RL_INDEX,
           "file of what was measured; made if it is not there; empty: measured each time"),
    INT("index.merge_changes", "0", 0, 100000000, RL_INDEX,
        "changes that are merged into a new generation when so many have gathered; 0: a tenth of "
        "the passages, 10,000 at least"),
    INT("index.sync_s", "0", 0, 31536000, RL_INDEX,
        "--sync looks again after so many seconds; 0: once"),
    LIST("index.skip", "", RL_INDEX,
         "patterns of files and folders that are left out: of their names (*.log), or with a slash "
         "of their paths below the folder given (drafts/*)"),
    BOOL("index.follow_links", "false", RL_INDEX,
         "links in a folder of documents are followed where they lead out of it too"),
    INT("index.read_ms", "30000", 100, 86400000, RL_INDEX,
        "longest time in which a document is read; one that takes longer is left out, and named"),
    INT("index.read_mb", "1024", 64, 1048576, RL_INDEX,
        "most memory that reading a document may take, in MiB"),
    INT("index.read_output_mb", "320", 1, 1024, RL_INDEX,
        "most that may be made of a document, in MiB"),
    INT("index.readers", "0", 0, 64, RL_INDEX,
        "processes that read documents; 0: one for each core"),
    STRING("index.report", "", RL_INDEX,
           "file of JSON lines that name each document that is not wholly in the index, and why"),
    FLAG("changes", RL_INDEX, "changes the collection by the lines of standard input"),
    FLAG("add", RL_INDEX, "adds documents to the collection, or puts them in others' place"),
    FLAG("delete", RL_INDEX, "deletes documents by their ids"),
    FLAG("delete-source", RL_INDEX, "deletes documents by the file or URL that they came from"),
    FLAG("sync", RL_INDEX, "makes the collection what a folder is"),
    FLAG("merge", RL_INDEX, "merges the changes into a new generation"),
    FLAG("lexical-only", RL_INDEX, "no embeddings: the collection is searched by words only"),
    INT("embed.batch", "32", 1, 2048, RL_INDEX, "passages in one request to the embedding server"),
    INT("embed.max_tokens", "256", 32, 1000000, RL_INDEX,
        "tokens that the embedding model reads of a passage"),

    STRING("ask.url", "http://127.0.0.1:8080", RL_ASK, "the gateway"),
    SECRET("ask.key", RL_ASK, "API key for the gateway"),
    LIST("ask.collections", "", RL_ASK, "collections to ask; empty: the gateway's choice"),
    STRING("ask.filter", "", RL_ASK,
           "a condition on the passages' metadata, as JSON: {\"field\": \"year\", \"gte\": 2020}"),
    INT("ask.k", "0", 0, 100, RL_ASK, "passages for an answer; 0: the gateway's choice"),
    INT("ask.timeout_ms", "0", 0, DAY_MS, RL_ASK,
        "longest time for a whole answer; 0: the gateway's choice"),
    BOOL("ask.quick_answer", "false", RL_ASK,
         "what the best passage says, word for word, until the model's own words come"),
    FLAG("search", RL_ASK, "only the passages, no answer"),
    FLAG("no-drafts", RL_ASK,
         "on a terminal: passages are not looked for while a question is typed"),
    FLAG("workers", RL_ASK, "list the workers that the gateway knows"),
    FLAG("json", RL_ASK | RL_TOP | RL_PROFILE,
         "the gateway's JSON as it is, when all of it is there; ragline-top: one object a second; "
         "ragline-profile: the profile"),
    FLAG("quiet", RL_ASK, "nothing but the answer and what is wrong or missing"),

    LIST("top.urls", "http://127.0.0.1:8080", RL_TOP,
         "the gateways to watch, where none is named on the command line"),
    SECRET("top.key", RL_TOP, "API key for the gateways"),
    CHOICE("top.sort", "kind", "kind load latency p95 served seen name", RL_TOP,
           "order of the workers"),
    CHOICE("top.stages", "path", "path share p50 p99", RL_TOP,
           "order of the stages: along the path, or what takes longest first"),
    STRING("top.filter", "", RL_TOP, "only workers whose line has this in it"),
    FLAG("once", RL_TOP, "say it once and end"),
    FLAG("plain", RL_TOP, "a line a second, on a terminal too"),

    STRING("profile.retrievers", "", RL_PROFILE,
           "what would change with more: +N (like the busiest), or xN times as many of each"),
    STRING("profile.generators", "", RL_PROFILE, "the same of generators"),
    STRING("profile.gateways", "", RL_PROFILE, "the same of gateways"),
    NUM("profile.rate", "0", 0, 1000000, RL_PROFILE,
        "questions a second in what is simulated; 0: as recorded"),
    BOOL("profile.poisson", "false", RL_PROFILE,
         "simulated questions come at random, not at the recorded times"),
    NUM("profile.window_s", "3600", 1, 604800, RL_PROFILE,
        "the busiest stretch of so many seconds is looked at"),
    INT("profile.threads", "0", 0, 4096, RL_PROFILE,
        "searches that a retriever does at a time; 0: what the recording shows"),
    INT("profile.slots", "0", 0, 100000, RL_PROFILE,
        "answers that a generator writes at a time; 0: what the recording shows"),
    INT("profile.embed_slots", "0", 0, 100000, RL_PROFILE,
        "calls that the embedding server works at; 0: taken to be never all busy"),
    INT("profile.llm_slots", "0", 0, 100000, RL_PROFILE,
        "answers that the LLM server works at; 0: taken to be never all busy"),
    NUM("profile.gateway_ms", "0", 0, 10000, RL_PROFILE,
        "CPU of a gateway for one question; 0: what the timelines show of it"),
    INT("profile.seed", "1", 1, 1000000000, RL_PROFILE, "of the simulation's random numbers"),
    SECRET("profile.key", RL_PROFILE, "API key for the gateway"),
};

const size_t rl_options_size = sizeof rl_options / sizeof *rl_options;
