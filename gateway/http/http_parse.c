// http_parse: the head of an HTTP/1.x request.
#include "http_parse.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "utf8.h"

static long fault_at(http_fault_t *fault, int status, const char *message)
{
    *fault = (http_fault_t){status, message};
    return -1;
}

// A character of a token: method and header names (RFC 9110, 5.6.2).
static bool is_token(unsigned char c)
{
    return isalnum(c) || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_control(unsigned char c)
{
    return (c < 0x20 && c != '\t') || c == 0x7f;
}

// The first byte is enough to refuse most clients that do not speak HTTP.
static long first_byte(unsigned char c, http_fault_t *fault)
{
    if (is_token(c))
        return 0;
    if (c == 0x16)
        return fault_at(fault, 400,
                        "This port speaks plain HTTP; the client began a TLS handshake.");
    return fault_at(fault, 400, "These bytes are no HTTP request.");
}

long http_head_end(const char *data, size_t size, size_t *scanned, http_fault_t *fault)
{
    if (*scanned == 0 && size > 0 && first_byte((unsigned char)data[0], fault) < 0)
        return -1;
    for (size_t at = *scanned; at < size; at++) {
        unsigned char c = (unsigned char)data[at];
        if (c == '\n') {
            if (at == 0 || data[at - 1] != '\r')
                return fault_at(fault, 400,
                                "A line of the request ends without a carriage return.");
            if (at >= 3 && data[at - 2] == '\n') {
                *scanned = at + 1;
                return (long)at + 1;
            }
        } else if (at > 0 && data[at - 1] == '\r') {
            return fault_at(fault, 400, "A carriage return stands within a line of the request.");
        } else if (is_control(c) && c != '\r') {
            return fault_at(fault, 400, "A control character stands in the request's head.");
        }
    }
    *scanned = size;
    return 0;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int http_unescape(char *text, bool plus)
{
    char *out = text;
    for (const char *at = text; *at; at++) {
        if (*at == '%') {
            int high = hex_digit(at[1]);
            int low = high < 0 ? -1 : hex_digit(at[2]);
            if (low < 0 || high * 16 + low == 0)
                return -1;
            *out++ = (char)(high * 16 + low);
            at += 2;
        } else {
            *out++ = plus && *at == '+' ? ' ' : *at;
        }
    }
    *out = '\0';
    return rl_utf8_valid(text, (size_t)(out - text)) ? 0 : -1;
}

static bool escapes_hold(const char *text)
{
    for (; *text; text++)
        if (*text == '%' && (hex_digit(text[1]) < 0 || hex_digit(text[2]) < 0))
            return false;
    return true;
}

// The target in its four forms (RFC 9112, 3.2): of "http://host/path" the host is kept apart.
static long parse_target(char *target, http_head_t *head, http_fault_t *fault)
{
    if (strchr(target, '#'))
        return fault_at(fault, 400, "The request's target holds a \"#\".");
    if (strncasecmp(target, "http://", 7) == 0 || strncasecmp(target, "https://", 8) == 0) {
        char *host = strstr(target, "://") + 3;
        size_t size = strcspn(host, "/?");
        if (size == 0 || memchr(host, '@', size))
            return fault_at(fault, 400, "The request's target names no valid host.");
        // "host" moves one to the left, over the last slash, which makes room for its end
        memmove(host - 1, host, size);
        head->host = host - 1;
        target = host + size;
        host[size - 1] = '\0';
        if (*target != '/') {
            // "http://host?query": the path is "/"
            head->path = "/";
            head->query = *target == '?' ? target + 1 : "";
            return escapes_hold(head->query) ? 0 : fault_at(fault, 400, "Bad %XX in the query.");
        }
    }
    if (*target != '/' && strcmp(target, "*") != 0)
        return fault_at(fault, 400, "The request's target must be a path that starts with \"/\".");
    char *query = strchr(target, '?');
    if (query)
        *query++ = '\0';
    head->query = query ? query : "";
    head->path = target;
    if (http_unescape(target, false) != 0)
        return fault_at(fault, 400, "The path holds a bad %XX escape or bytes that are no UTF-8.");
    for (const char *at = target; *at; at++)
        if (is_control((unsigned char)*at) || *at == '\t')
            return fault_at(fault, 400, "The path holds a control character.");
    if (!escapes_hold(head->query))
        return fault_at(fault, 400, "The query holds a bad %XX escape.");
    return 0;
}

// "POST /v1/ask HTTP/1.1"; `line` is NUL-terminated.
static long parse_request_line(char *line, http_head_t *head, http_fault_t *fault)
{
    char *method_end = line;
    while (is_token((unsigned char)*method_end))
        method_end++;
    char *target = method_end + 1;
    char *version = *method_end == ' ' ? strchr(target, ' ') : NULL;
    if (!version || method_end == line || method_end - line > 32)
        return fault_at(fault, 400, "The first line must be METHOD PATH HTTP/1.1.");
    *method_end = '\0';
    *version++ = '\0';
    if (strncmp(version, "HTTP/", 5) != 0 || strlen(version) != 8)
        return fault_at(fault, 400, "The first line must end in HTTP/1.1.");
    if (strcmp(version, "HTTP/1.1") != 0 && strcmp(version, "HTTP/1.0") != 0)
        return fault_at(fault, 505, "This server speaks HTTP/1.1.");
    head->method = line;
    head->minor = version[7] - '0';
    return parse_target(target, head, fault);
}

static long parse_field(char *line, http_field_t *field, http_fault_t *fault)
{
    if (*line == ' ' || *line == '\t')
        return fault_at(fault, 400, "A header is continued on a second line, which is refused.");
    char *colon = line;
    while (is_token((unsigned char)*colon))
        colon++;
    if (colon == line || *colon != ':')
        return fault_at(fault, 400, "A header line is not of the form \"Name: value\".");
    *colon = '\0';
    char *value = colon + 1;
    value += strspn(value, " \t");
    char *end = value + strlen(value);
    while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    *end = '\0';
    *field = (http_field_t){line, value};
    return 0;
}

const char *http_head_field(const http_head_t *head, const char *name)
{
    for (size_t at = 0; at < head->fields_size; at++)
        if (strcasecmp(head->fields[at].name, name) == 0)
            return head->fields[at].value;
    return NULL;
}

static size_t count_field(const http_head_t *head, const char *name)
{
    size_t count = 0;
    for (size_t at = 0; at < head->fields_size; at++)
        count += strcasecmp(head->fields[at].name, name) == 0;
    return count;
}

bool http_value_has(const char *value, const char *word)
{
    size_t size = strlen(word);
    while (value && *value) {
        value += strspn(value, " \t,");
        size_t length = strcspn(value, " \t,;");
        if (length == size && strncasecmp(value, word, size) == 0)
            return true;
        value += strcspn(value, ",");
    }
    return false;
}

static long parse_length(const char *value, uint64_t *length, http_fault_t *fault)
{
    size_t size = strlen(value);
    if (size == 0 || size > 18 || strspn(value, "0123456789") != size)
        return fault_at(fault, 400, "Content-Length is no number.");
    *length = strtoull(value, NULL, 10);
    return 0;
}

// Where the body ends (RFC 9112, 6.3). A request that states it twice is refused: it may be an
// attempt to smuggle one request inside another.
static long parse_framing(http_head_t *head, http_fault_t *fault)
{
    const char *coding = http_head_field(head, "Transfer-Encoding");
    const char *length = http_head_field(head, "Content-Length");
    if (count_field(head, "Content-Length") > 1 || count_field(head, "Transfer-Encoding") > 1)
        return fault_at(fault, 400, "The body's length is given more than once.");
    if (coding && length)
        return fault_at(fault, 400, "Both Content-Length and Transfer-Encoding are given.");
    if (coding && head->minor == 0)
        return fault_at(fault, 400, "HTTP/1.0 has no Transfer-Encoding.");
    if (coding && strcasecmp(coding, "chunked") != 0)
        return fault_at(fault, 501, "The only Transfer-Encoding understood is chunked.");
    head->chunked = coding != NULL;
    return length ? parse_length(length, &head->length, fault) : 0;
}

static long parse_connection(http_head_t *head, http_fault_t *fault)
{
    size_t hosts = count_field(head, "Host");
    if (hosts > 1 || (hosts == 0 && head->minor == 1))
        return fault_at(fault, 400, "A request needs exactly one Host header.");
    if (!head->host)
        head->host = hosts ? http_head_field(head, "Host") : "";
    for (const char *at = head->host; *at; at++)
        if (!isalnum((unsigned char)*at) && !strchr(".-_~:[]%!$&'()*+,;=", *at))
            return fault_at(fault, 400, "The Host header is not valid.");
    const char *connection = http_head_field(head, "Connection");
    head->keep_alive = head->minor == 1 && !http_value_has(connection, "close");
    const char *expect = http_head_field(head, "Expect");
    if (expect && strcasecmp(expect, "100-continue") != 0)
        return fault_at(fault, 417, "The only expectation understood is 100-continue.");
    head->expects_continue = expect && head->minor == 1;
    return 0;
}

// How many header lines there are; the head ends in an empty one.
static size_t count_lines(const char *data, size_t size)
{
    size_t count = 0;
    for (size_t at = 0; at < size; at++)
        count += data[at] == '\n';
    return count - 2; // without the request line and the empty line
}

int http_head_parse(char *data, size_t size, http_head_t *head, http_fault_t *fault)
{
    *head = (http_head_t){.method = "", .path = "", .query = ""};
    size_t lines = count_lines(data, size);
    if (lines > HTTP_MAX_FIELDS)
        return (int)fault_at(fault, 431, "The request has more than 100 headers.");
    head->fields = calloc(lines + 1, sizeof *head->fields);
    if (!head->fields)
        return (int)fault_at(fault, 503, "Out of memory.");
    char *line = data;
    for (size_t at = 0; at <= lines; at++) {
        char *end = memchr(line, '\r', size - (size_t)(line - data));
        *end = '\0';
        long rc = at == 0 ? parse_request_line(line, head, fault)
                          : parse_field(line, &head->fields[at - 1], fault);
        if (rc != 0)
            return -1;
        head->fields_size = at;
        line = end + 2;
    }
    if (parse_framing(head, fault) != 0 || parse_connection(head, fault) != 0)
        return -1;
    return 0;
}

void http_head_clear(http_head_t *head)
{
    free(head->fields);
    *head = (http_head_t){.method = "", .path = "", .query = ""};
}
