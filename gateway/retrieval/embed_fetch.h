// embed_fetch: one call to the embedding server; for embed alone.
#ifndef EMBED_FETCH_H
#define EMBED_FETCH_H

#include "embed.h"

typedef struct embed_fetch embed_fetch_t;

// As embedder_ask; NULL if the address is none. `done` frees nothing: the call is gone after it.
embed_fetch_t *embed_fetch_start(rl_fetcher_t *fetcher, const rl_conf_t *conf, const char *url,
                                 const char *text, const trace_headers_t *trace,
                                 embed_done_fn *done, void *arg);
void embed_fetch_cancel(embed_fetch_t **call_p);

#endif
