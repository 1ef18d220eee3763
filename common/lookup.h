// lookup: the addresses of a host name, looked up again and again in a thread of its own, since
// getaddrinfo blocks for as long as a name server is silent. It and not a resolver of our own, so
// that /etc/hosts, nsswitch.conf and search domains count as they do for every other program.
#ifndef RL_LOOKUP_H
#define RL_LOOKUP_H

#include <event2/event.h>
#include <stddef.h>

typedef struct rl_lookup rl_lookup_t;

// In the loop, after each look: numeric addresses, IPv6 ones in brackets (and only where the name
// has no IPv4 address: one process bound to both is not two). None: `why` says what is wrong.
typedef void(rl_lookup_fn)(void *arg, const char *const *addresses, size_t size, const char *why);

// Looks at once, and again `period_ms` after each look. NULL if there can be no thread.
rl_lookup_t *rl_lookup_new(struct event_base *base, const char *host, long period_ms,
                           rl_lookup_fn *fn, void *arg);
// Returns at once, also while a name server is silent.
void rl_lookup_destroy(rl_lookup_t **self_p);

#endif
