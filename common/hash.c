// hash: FNV-1a.
#include "hash.h"

uint64_t rl_hash64(const void *data, size_t size)
{
    const unsigned char *p = data;
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t at = 0; at < size; at++)
        hash = (hash ^ p[at]) * 0x100000001b3u;
    return hash;
}
