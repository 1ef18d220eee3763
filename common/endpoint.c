// endpoint: reads the text of a ZeroMQ endpoint.
#include "endpoint.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static const char tcp[] = "tcp://";

bool rl_endpoint_split(const char *endpoint, char host[RL_ENDPOINT], char port[RL_ENDPOINT])
{
    if (strncmp(endpoint, tcp, strlen(tcp)) != 0)
        return false;
    endpoint += strlen(tcp);
    const char *colon = strrchr(endpoint, ':');
    if (!colon || colon == endpoint || !colon[1] || strlen(endpoint) >= RL_ENDPOINT)
        return false;
    snprintf(host, RL_ENDPOINT, "%.*s", (int)(colon - endpoint), endpoint);
    snprintf(port, RL_ENDPOINT, "%s", colon + 1);
    return true;
}

// An IPv4 address, or an IPv6 address in brackets.
static bool is_address(const char *host)
{
    struct in6_addr address;
    char bare[INET6_ADDRSTRLEN];
    size_t size = strlen(host);
    if (inet_pton(AF_INET, host, &address) == 1)
        return true;
    if (size < 3 || size >= sizeof bare + 2 || host[0] != '[' || host[size - 1] != ']')
        return false;
    snprintf(bare, sizeof bare, "%.*s", (int)(size - 2), host + 1);
    return inet_pton(AF_INET6, bare, &address) == 1;
}

static bool is_every_address(const char *host)
{
    return strcmp(host, "*") == 0 || strcmp(host, "0.0.0.0") == 0 || strcmp(host, "[::]") == 0 ||
           strcmp(host, "::") == 0;
}

bool rl_endpoint_is_local(const char *endpoint)
{
    char host[RL_ENDPOINT], port[RL_ENDPOINT];
    if (strncmp(endpoint, tcp, strlen(tcp)) != 0)
        return strncmp(endpoint, "ipc://", 6) == 0 || strncmp(endpoint, "inproc://", 9) == 0;
    if (!rl_endpoint_split(endpoint, host, port))
        return false;
    return (strncmp(host, "127.", 4) == 0 && is_address(host)) || strcmp(host, "[::1]") == 0 ||
           strcmp(host, "lo") == 0 || strcmp(host, "localhost") == 0;
}

bool rl_endpoint_is_name(const char *endpoint)
{
    char host[RL_ENDPOINT], port[RL_ENDPOINT];
    return rl_endpoint_split(endpoint, host, port) && !is_address(host) &&
           !is_every_address(host) && !strchr(endpoint, ';'); // "from;to" names a source address
}

int rl_endpoint_advertised(const char *bound, const char *advertise, const char *option,
                           char out[RL_ENDPOINT], char *why, size_t why_size)
{
    char host[RL_ENDPOINT], port[RL_ENDPOINT];
    bool is_tcp = rl_endpoint_split(bound, host, port);
    int size;
    if (strstr(advertise, "://")) {
        size = snprintf(out, RL_ENDPOINT, "%s", advertise);
    } else if (*advertise && is_tcp) {
        bool bare = strchr(advertise, ':') && *advertise != '['; // an IPv6 address
        size = snprintf(out, RL_ENDPOINT, bare ? "tcp://[%s]:%s" : "tcp://%s:%s", advertise, port);
    } else {
        size = snprintf(out, RL_ENDPOINT, "%s", bound);
    }
    if (is_tcp && !*advertise && is_every_address(host)) {
        snprintf(why, why_size,
                 "%s is every address of this machine, and none that a peer could be told; set %s "
                 "to the name or address that peers reach it at",
                 bound, option);
        return -1;
    }
    if (size >= RL_ENDPOINT) {
        snprintf(why, why_size, "%s: longer than %d bytes", option, RL_ENDPOINT - 1);
        return -1;
    }
    return 0;
}
