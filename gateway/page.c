// page: the document at "/", inside the program. Its security policy names the hashes of its own
// script and style, computed from the document itself, so that nothing else can ever run in it.
#include "page.h"

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "buf.h"

__asm__(".section .rodata\n"
        "page_begin:\n"
        ".incbin \"gateway/web/index.html\"\n"
        "page_end:\n"
        ".byte 0\n"
        ".balign 8\n"
        "page_size:\n"
        ".quad page_end - page_begin\n"
        ".previous\n");
extern const char page_begin[]; // ends with a NUL that is not part of it
extern const uint64_t page_size;

enum {
    MAX_POLICY = 4096
};

// 'sha256-…' of what stands between each <name …> and </name> (Content Security Policy 3, 2.3.1).
static void add_hashes(rl_buf_t *out, const char *name)
{
    char open[16], close[16];
    snprintf(open, sizeof open, "<%s", name);
    snprintf(close, sizeof close, "</%s>", name);
    for (const char *at = strstr(page_begin, open); at; at = strstr(at, open)) {
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

static const char *policy(void)
{
    static rl_buf_t text;
    if (text.size)
        return text.data;
    text = rl_buf_make(MAX_POLICY);
    rl_buf_adds(&text, "default-src 'none'; script-src");
    add_hashes(&text, "script");
    rl_buf_adds(&text, "; style-src");
    add_hashes(&text, "style");
    rl_buf_adds(&text, "; connect-src 'self'; img-src 'self' data:; base-uri 'none'; "
                       "form-action 'none'; frame-ancestors 'none'");
    return text.data;
}

static const char *etag(void)
{
    static char text[40];
    unsigned char hash[SHA256_DIGEST_LENGTH];
    if (*text)
        return text;
    SHA256((const unsigned char *)page_begin, page_size, hash);
    snprintf(text, sizeof text, "\"%02x%02x%02x%02x%02x%02x%02x%02x\"", hash[0], hash[1], hash[2],
             hash[3], hash[4], hash[5], hash[6], hash[7]);
    return text;
}

void page_send(http_req_t **req_p)
{
    http_req_t *req = *req_p;
    const char *known = http_header(req, "If-None-Match");
    http_set_header(req, "ETag", etag());
    http_set_header(req, "Cache-Control", "no-cache"); // keep it, and ask whether it is the same
    http_set_header(req, "Content-Security-Policy", policy());
    http_set_header(req, "Referrer-Policy", "no-referrer");
    http_set_header(req, "X-Frame-Options", "DENY");
    if (known && strstr(known, etag()))
        http_reply(req_p, 304, NULL, NULL, 0);
    else
        http_reply(req_p, 200, "text/html; charset=utf-8", page_begin, page_size);
}
