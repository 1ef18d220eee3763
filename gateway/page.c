// page: the documents for people, inside the program. The security policy of each names the hashes
// of its own script and style, computed from the document itself, so that no other script can run
// in it.
#include "page.h"

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "buf.h"

// The document's bytes, a NUL that is not part of it, and its size.
#define DOCUMENT(name, file)                                                                       \
    __asm__(".section .rodata\n" #name "_begin:\n"                                                 \
            ".incbin \"" file "\"\n" #name "_end:\n"                                               \
            ".byte 0\n"                                                                            \
            ".balign 8\n" #name "_size:\n"                                                         \
            ".quad " #name "_end - " #name "_begin\n"                                              \
            ".previous\n");                                                                        \
    extern const char name##_begin[];                                                              \
    extern const uint64_t name##_size

DOCUMENT(page_ask, "gateway/web/index.html");
DOCUMENT(page_live, "gateway/web/live.html");

typedef struct document {
    const char *begin;
    const uint64_t *size;
    rl_buf_t policy; // made when it is first asked for
    char etag[40];
} document_t;

static document_t documents[] = {
    [PAGE_ASK] = {.begin = page_ask_begin, .size = &page_ask_size},
    [PAGE_LIVE] = {.begin = page_live_begin, .size = &page_live_size},
};

enum {
    MAX_POLICY = 4096
};

// 'sha256-…' of what stands between each <name …> and </name> (Content Security Policy 3, 2.3.1).
static void add_hashes(const document_t *self, rl_buf_t *out, const char *name)
{
    char open[16], close[16];
    snprintf(open, sizeof open, "<%s", name);
    snprintf(close, sizeof close, "</%s>", name);
    for (const char *at = strstr(self->begin, open); at; at = strstr(at, open)) {
        const char *begin = strchr(at, '>');
        const char *end = begin ? strstr(begin, close) : NULL;
        if (!end)
            return;
        unsigned char hash[SHA256_DIGEST_LENGTH];
        unsigned char text[SHA256_DIGEST_LENGTH * 2];
        SHA256((const unsigned char *)begin + 1, (size_t)(end - begin - 1), hash);
        EVP_EncodeBlock(text, hash, sizeof hash);
        rl_buf_addf(out, " 'sha256-%s'", (const char *)text);
        at = end;
    }
}

static const char *policy_of(document_t *self)
{
    rl_buf_t *text = &self->policy;
    if (text->size)
        return text->data;
    *text = rl_buf_make(MAX_POLICY);
    rl_buf_adds(text, "default-src 'none'; script-src");
    add_hashes(self, text, "script");
    rl_buf_adds(text, "; style-src");
    add_hashes(self, text, "style");
    rl_buf_adds(text, "; connect-src 'self'; img-src 'self' data:; base-uri 'none'; "
                      "form-action 'none'; frame-ancestors 'none'");
    return text->data;
}

static const char *etag_of(document_t *self)
{
    unsigned char hash[SHA256_DIGEST_LENGTH];
    if (*self->etag)
        return self->etag;
    SHA256((const unsigned char *)self->begin, *self->size, hash);
    snprintf(self->etag, sizeof self->etag, "\"%02x%02x%02x%02x%02x%02x%02x%02x\"", hash[0],
             hash[1], hash[2], hash[3], hash[4], hash[5], hash[6], hash[7]);
    return self->etag;
}

void page_send(http_req_t **req_p, page_t page)
{
    http_req_t *req = *req_p;
    document_t *self = &documents[page];
    const char *known = http_header(req, "If-None-Match");
    http_set_header(req, "ETag", etag_of(self));
    http_set_header(req, "Cache-Control", "no-cache"); // caches ask whether it has changed
    http_set_header(req, "Content-Security-Policy", policy_of(self));
    http_set_header(req, "Referrer-Policy", "no-referrer");
    http_set_header(req, "X-Frame-Options", "DENY");
    if (known && strstr(known, etag_of(self)))
        http_reply(req_p, 304, NULL, NULL, 0);
    else
        http_reply(req_p, 200, "text/html; charset=utf-8", self->begin, *self->size);
}
