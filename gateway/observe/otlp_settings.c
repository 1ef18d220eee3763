// otlp_settings: where traces go and the attributes of this process: otlp.* of the configuration,
// and OpenTelemetry's own environment variables, which operators set for all their services.
// (OpenTelemetry specification: "Environment Variable Specification", "OTLP Exporter
// Configuration".)
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "log.h"
#include "mem.h"
#include "otlp.h"
#include "otlp_json.h"
#include "utf8.h"

enum {
    RESOURCE_MAX_BYTES = 64 << 10,
    MAX_PAIRS = 64, // headers, resource attributes
    MAX_URL = 2000,
};

static const char *from_environment(const char *name)
{
    const char *value = getenv(name);
    return value ? value : "";
}

static bool is_url(const char *text)
{
    size_t scheme = strncasecmp(text, "http://", 7) == 0    ? 7
                    : strncasecmp(text, "https://", 8) == 0 ? 8
                                                            : 0;
    return scheme > 0 && text[scheme] && text[scheme] != '/' && strlen(text) <= MAX_URL &&
           !strpbrk(text, " \t\r\n");
}

// ---- the address --------------------------------------------------------------------------------

// A collector's address with the path of its traces, malloc'd.
static char *with_path(const char *base)
{
    static const char path[] = "/v1/traces";
    size_t size = strlen(base);
    while (size > 0 && base[size - 1] == '/')
        size--;
    bool there =
        size >= sizeof path && memcmp(base + size - (sizeof path - 1), path, sizeof path - 1) == 0;
    return rl_format("%.*s%s", (int)size, base, there ? "" : path);
}

static bool turned_off(void)
{
    return strcasecmp(from_environment("OTEL_SDK_DISABLED"), "true") == 0 ||
           strcmp(from_environment("OTEL_TRACES_EXPORTER"), "none") == 0;
}

// Where traces go: malloc'd, "" for nowhere; NULL with `why`.
static char *find_url(const rl_conf_t *conf, char *why, size_t why_size)
{
    const char *from = "otlp.endpoint", *value = rl_conf_str(conf, from);
    bool whole = false;
    if (!rl_conf_given(conf, from) && !turned_off()) {
        from = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
        value = from_environment(from);
        whole = *value;
        if (!*value) {
            from = "OTEL_EXPORTER_OTLP_ENDPOINT";
            value = from_environment(from);
        }
        if (*value && strcmp(from_environment("OTEL_EXPORTER_OTLP_PROTOCOL"), "grpc") == 0)
            rl_warn("OTEL_EXPORTER_OTLP_PROTOCOL is grpc: traces are exported over HTTP (in JSON) "
                    "all the same; collectors take that at another port, 4318");
    }
    if (*value && !is_url(value)) {
        snprintf(why, why_size,
                 "%s is \"%.200s\": it must begin with http:// or https:// and "
                 "name a host, as http://127.0.0.1:4318",
                 from, value);
        return NULL;
    }
    return *value && !whole ? with_path(value) : rl_strdup(value);
}

// ---- lists of name=value ------------------------------------------------------------------------

static int hex_digit(char c)
{
    const char *digits = "0123456789abcdef", *at = c ? strchr(digits, c | 0x20) : NULL;
    return at ? (int)(at - digits) : -1;
}

// Decodes percent-encoded bytes in place and trims spaces (W3C Baggage, 3.3.1).
static char *decode_percent(char *text)
{
    while (*text == ' ' || *text == '\t')
        text++;
    size_t size = strlen(text), to = 0;
    while (size > 0 && (text[size - 1] == ' ' || text[size - 1] == '\t'))
        text[--size] = '\0';
    for (size_t at = 0; at < size; at++) {
        bool coded = text[at] == '%' && at + 2 < size && hex_digit(text[at + 1]) >= 0 &&
                     hex_digit(text[at + 2]) >= 0;
        text[to++] =
            coded ? (char)(hex_digit(text[at + 1]) << 4 | hex_digit(text[at + 2])) : text[at];
        at += coded ? 2 : 0;
    }
    text[to] = '\0';
    return text;
}

// "a=1,b=2" → each pair in turn to `fn`, which returns false for what it cannot use. False, with
// the pair's name in `name` (never its value, which may be a secret), where something is wrong.
static bool each_pair(const char *list, bool (*fn)(void *arg, const char *name, const char *value),
                      void *arg, char *name, size_t name_size)
{
    char *copy = rl_strdup(list), *rest = copy, *pair;
    bool good = true;
    for (size_t count = 0; good && (pair = strsep(&rest, ",")); count++) {
        char *value = strchr(pair, '=');
        if (pair[strspn(pair, " \t")] == '\0')
            continue;
        if (value)
            *value++ = '\0';
        const char *key = decode_percent(pair);
        snprintf(name, name_size, "%s", key);
        good = value && count < MAX_PAIRS && fn(arg, key, decode_percent(value));
    }
    free(copy);
    return good;
}

// ---- headers ------------------------------------------------------------------------------------

static bool add_header(void *arg, const char *name, const char *value)
{
    otlp_settings_t *self = arg;
    static const char token[] = "!#$%&'*+-.^_`|~0123456789"
                                "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    size_t count = 0;
    if (!*name || name[strspn(name, token)])
        return false;
    for (const unsigned char *at = (const unsigned char *)value; *at; at++)
        if ((*at < ' ' && *at != '\t') || *at == 0x7f)
            return false;
    while (self->headers[count])
        count++;
    self->headers[count] = rl_format("%s: %s", name, value);
    return true;
}

static bool read_headers(otlp_settings_t *self, const rl_conf_t *conf, char *why, size_t why_size)
{
    const char *from = "otlp.headers", *list = rl_conf_secret(conf, from);
    char name[100] = "";
    self->headers = rl_alloc_array(MAX_PAIRS + 1, sizeof *self->headers);
    if (!*list) {
        from = "OTEL_EXPORTER_OTLP_TRACES_HEADERS";
        list = from_environment(from);
    }
    if (!*list) {
        from = "OTEL_EXPORTER_OTLP_HEADERS";
        list = from_environment(from);
    }
    if (each_pair(list, add_header, self, name, sizeof name))
        return true;
    snprintf(why, why_size, "%s is no list of headers as name=value,name=value: look at \"%s\"",
             from, name);
    return false;
}

// ---- resource -----------------------------------------------------------------------------------

typedef struct resource {
    rl_buf_t text;
    const char *service; // by OTEL_RESOURCE_ATTRIBUTES, where nothing else names it
    char room[256];
} resource_t;

static void add_attribute(resource_t *self, const char *name, const char *value)
{
    if (self->text.size > 0)
        rl_buf_adds(&self->text, ",");
    otlp_write_text(&self->text, name, value);
}

static bool take_attribute(void *arg, const char *name, const char *value)
{
    resource_t *self = arg;
    // set by this process
    static const char *const own[] = {"service.version", "service.instance.id", "process.pid"};
    if (!*name || !rl_utf8_valid(name, strlen(name)) || !rl_utf8_valid(value, strlen(value)))
        return false;
    for (size_t at = 0; at < sizeof own / sizeof *own; at++)
        if (strcmp(name, own[at]) == 0)
            return true;
    if (strcmp(name, "service.name") == 0) {
        snprintf(self->room, sizeof self->room, "%s", value);
        self->service = self->room;
    } else {
        add_attribute(self, name, value);
    }
    return true;
}

static bool read_resource(otlp_settings_t *self, const rl_conf_t *conf, const char *instance,
                          char *why, size_t why_size)
{
    resource_t resource = {.text = rl_buf_make(RESOURCE_MAX_BYTES)};
    char name[100] = "", pid[32];
    bool good = each_pair(from_environment("OTEL_RESOURCE_ATTRIBUTES"), take_attribute, &resource,
                          name, sizeof name);
    const char *service = rl_conf_str(conf, "otlp.service");
    const char *by_environment = from_environment("OTEL_SERVICE_NAME");
    if (!rl_conf_given(conf, "otlp.service"))
        service = *by_environment ? by_environment : resource.service ? resource.service : service;
    snprintf(pid, sizeof pid, "%ld", (long)getpid());
    add_attribute(&resource, "service.name", service);
    add_attribute(&resource, "service.version", RAGLINE_VERSION);
    add_attribute(&resource, "service.instance.id", instance);
    rl_buf_addf(&resource.text, ",{\"key\":\"process.pid\",\"value\":{\"intValue\":\"%s\"}}", pid);
    if (!good || resource.text.full) {
        snprintf(why, why_size,
                 "OTEL_RESOURCE_ATTRIBUTES is no list as name=value,name=value: look at \"%s\"",
                 name);
        good = false;
    }
    self->resource = rl_buf_take(&resource.text);
    return good;
}

// ---- servers, numbers ---------------------------------------------------------------------------

static void read_server(otlp_server_t *self, const char *url, const char *model)
{
    CURLU *parts = curl_url();
    char *host = NULL, *port = NULL;
    snprintf(self->model, sizeof self->model, "%s", model);
    if (parts && curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK &&
        curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
        curl_url_get(parts, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK) {
        size_t size = strlen(host);
        bool six = *host == '[' && size > 2; // an IPv6 address stands in brackets
        snprintf(self->address, sizeof self->address, "%.*s", (int)(six ? size - 2 : size),
                 host + six);
        self->port = (unsigned)strtoul(port, NULL, 10);
    }
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(parts);
}

otlp_settings_t *otlp_settings_read(const rl_conf_t *conf, const char *instance, char *why,
                                    size_t why_size)
{
    otlp_settings_t *self = rl_new(*self);
    self->ratio = rl_conf_num(conf, "otlp.ratio");
    self->queue = (size_t)rl_conf_int(conf, "otlp.queue");
    self->batch = (size_t)rl_conf_int(conf, "otlp.batch");
    self->delay_ms = rl_conf_int(conf, "otlp.delay_ms");
    self->timeout_ms = rl_conf_int(conf, "otlp.timeout_ms");
    self->retry_ms = rl_conf_int(conf, "otlp.retry_ms");
    self->give_up_ms = rl_conf_int(conf, "otlp.give_up_ms");
    read_server(&self->about.embed, rl_conf_str(conf, "embed.url"),
                rl_conf_str(conf, "embed.model"));
    read_server(&self->about.llm, rl_conf_str(conf, "llm.url"), rl_conf_str(conf, "llm.model"));
    self->url = find_url(conf, why, why_size);
    if (!self->url || !read_headers(self, conf, why, why_size) ||
        !read_resource(self, conf, instance, why, why_size))
        otlp_settings_destroy(&self);
    return self;
}

void otlp_settings_destroy(otlp_settings_t **self_p)
{
    otlp_settings_t *self = *self_p;
    if (!self)
        return;
    for (size_t at = 0; self->headers && self->headers[at]; at++)
        free(self->headers[at]);
    free(self->headers);
    free(self->resource);
    free(self->url);
    free(self);
    *self_p = NULL;
}
