// hash: FNV-1a, and SHA-256 by OpenSSL.
#include "hash.h"

#include <openssl/sha.h>
#include <string.h>

uint64_t rl_hash64(const void *data, size_t size)
{
    const unsigned char *p = data;
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t at = 0; at < size; at++)
        hash = (hash ^ p[at]) * 0x100000001b3u;
    return hash;
}

rl_hash128_t rl_hash128(const void *data, size_t size)
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    rl_hash128_t hash;
    SHA256(data, size, digest);
    memcpy(&hash, digest, sizeof hash);
    return hash;
}
