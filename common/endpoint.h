// endpoint: reads the text of a ZeroMQ endpoint: who can reach it, and what peers should connect
// to.
#ifndef RL_ENDPOINT_H
#define RL_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>

enum {
    RL_ENDPOINT = 512, // bytes of an endpoint, with its end
};

// "tcp://HOST:PORT" taken apart; the brackets of an IPv6 address stay with it. False for other
// transports, and where there is no host or no port.
bool rl_endpoint_split(const char *endpoint, char host[RL_ENDPOINT], char port[RL_ENDPOINT]);

// Whether only this machine reaches what is bound there: ipc, inproc, loopback addresses.
bool rl_endpoint_is_local(const char *endpoint);

// Whether its host is a name to be looked up, not an address ("localhost" is a name, too).
bool rl_endpoint_is_name(const char *endpoint);

// The endpoint that is announced to peers: `bound` (as the socket says, with its real port) with
// the host `advertise`, or `advertise` itself where that is a whole endpoint; `bound` where it is
// "". A socket bound to every address (0.0.0.0, *) has none to be told: then `advertise` must be
// given. Returns 0, or -1 with what is wrong in `why`; `option` is the option's name for that.
int rl_endpoint_advertised(const char *bound, const char *advertise, const char *option,
                           char out[RL_ENDPOINT], char *why, size_t why_size);

#endif
