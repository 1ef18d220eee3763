// standin: stands in for an LLM server and an embedding server, with exact timing and little CPU.
//
//   POST /v1/chat/completions   first token after --first-ms, one every --gap-ms, --tokens of them
//                               (or the request's max_tokens, if that is less); streamed or not.
//                               With an assistant's turn last, it goes on behind that turn's words.
//                               A request's "seed" is taken as bytes to lengthen each token by.
//   POST /v1/embeddings         after --embed-ms, a vector made from the text alone
//   GET  /v1/models             one model, "standin"
//   GET  /stats                 what it has done and how exactly; /stats?reset begins anew
//   POST /set?gap-ms=20         changes an option for the requests that come after
//
// What a token says is in lib/text.h. With --wild SEED streamed answers are drawn from lib/wild.h,
// in odd pieces, now and then late.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "lib/loop.h"
#include "lib/samples.h"
#include "lib/text.h"
#include "lib/wild.h"

enum {
    MAX_REQUEST = 16 << 20, // bytes of head and body
    MAX_INPUTS = 4096,      // texts of one embedding request
    MAX_OUT = 1 << 20,      // bytes waiting for a client that reads slowly
    MAX_PAD = 4096,         // bytes that a token is lengthened by
    BACKLOG = 8192,
};

typedef struct options {
    double first_ms, gap_ms, embed_ms;
    long tokens, send_buffer; // send_buffer: of a connection, 0: the kernel's choice
    long wild;                // what random answers begin with, 0: they are as they should be
    int port;
} options_t;

typedef enum doing {
    READING,  // a request
    WAITING,  // to send an answer that is ready
    SPEAKING, // a streamed answer
    RAVING,   // one of lib/wild.h
} doing_t;

typedef struct peer {
    loop_watched_t watch;
    loop_timer_t timer;
    doing_t doing;
    char *in;
    size_t in_size, in_room;
    char *out; // what the socket did not take, or what waits for its time
    size_t out_at, out_size;
    uint64_t start_us, first_us, gap_us;
    unsigned pad, sent, tokens, before; // before: tokens that the assistant's turn already had
    unsigned prompt_tokens;
    bool usage, blocked;
    wild_answer_t wild;
    size_t wild_at;
} peer_t;

static struct {
    options_t options;
    loop_t *loop;
    loop_watched_t listener;
    uint64_t open, most_open, answers, whole, gone, tokens, embeddings, blocked, bad;
    uint64_t blocked_now, gone_us; // gone_us: when the last one went within its answer
    uint64_t dice;
    samples_t late; // token written − token due, while the client reads
} standin = {.options = {.first_ms = 50, .gap_ms = 10, .embed_ms = 5, .tokens = 64}};

static void turn_to(peer_t *peer, doing_t doing);

static void peer_close(peer_t *peer)
{
    loop_not(standin.loop, &peer->timer);
    loop_forget(standin.loop, &peer->watch);
    close(peer->watch.fd);
    standin.blocked_now -= peer->blocked;
    if (peer->doing == SPEAKING) {
        standin.open--;
        standin.gone++;
        standin.gone_us = rl_now_us();
    }
    free(peer->in);
    free(peer->out);
    free(peer->wild.bytes);
    free(peer);
}

// ---- sending ------------------------------------------------------------------------------------

static void watch_for(peer_t *peer)
{
    uint32_t events = peer->doing == READING ? EPOLLIN : EPOLLRDHUP;
    loop_rewatch(standin.loop, &peer->watch, events | (peer->blocked ? EPOLLOUT : 0u));
}

static int keep(peer_t *peer, const char *data, size_t size)
{
    if (peer->out_size - peer->out_at + size > MAX_OUT)
        return -1;
    char *out = malloc(peer->out_size - peer->out_at + size);
    if (!out)
        return -1;
    if (peer->out)
        memcpy(out, peer->out + peer->out_at, peer->out_size - peer->out_at);
    memcpy(out + peer->out_size - peer->out_at, data, size);
    free(peer->out);
    peer->out = out;
    peer->out_size = peer->out_size - peer->out_at + size;
    peer->out_at = 0;
    return 0;
}

// Writes what it can and keeps the rest. Returns -1 when the peer is gone (and closed).
static int send_bytes(peer_t *peer, const char *data, size_t size)
{
    ssize_t done = 0;
    if (!peer->out) {
        done = send(peer->watch.fd, data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (done < 0 && errno != EAGAIN) {
            peer_close(peer);
            return -1;
        }
        done = done < 0 ? 0 : done;
    }
    if ((size_t)done == size)
        return 0;
    if (keep(peer, data + done, size - (size_t)done) != 0) {
        peer_close(peer);
        return -1;
    }
    if (!peer->blocked) {
        peer->blocked = true;
        standin.blocked++;
        standin.blocked_now++;
        watch_for(peer);
    }
    return 0;
}

// The socket takes more. Returns -1 when the peer is gone (and closed).
static int send_kept(peer_t *peer)
{
    ssize_t done = send(peer->watch.fd, peer->out + peer->out_at, peer->out_size - peer->out_at,
                        MSG_NOSIGNAL | MSG_DONTWAIT);
    if (done < 0 && errno != EAGAIN) {
        peer_close(peer);
        return -1;
    }
    peer->out_at += done > 0 ? (size_t)done : 0;
    if (peer->out_at < peer->out_size)
        return 0;
    free(peer->out);
    peer->out = NULL;
    peer->out_at = peer->out_size = 0;
    peer->blocked = false;
    standin.blocked_now--;
    watch_for(peer);
    return 0;
}

static void reply(peer_t *peer, int status, const char *body, size_t size)
{
    char *text = NULL;
    int head = asprintf(&text,
                        "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\n"
                        "Content-Length: %zu\r\n\r\n%.*s",
                        status, status == 200 ? "OK" : "Bad", size, (int)size, body);
    if (head < 0)
        abort();
    if (send_bytes(peer, text, (size_t)head) == 0)
        turn_to(peer, READING);
    free(text);
}

static void refuse(peer_t *peer, int status, const char *why)
{
    char body[256];
    standin.bad++;
    int size =
        snprintf(body, sizeof body, "{\"error\":{\"message\":\"%s\",\"code\":%d}}", why, status);
    reply(peer, status, body, (size_t)size);
}

// ---- reading JSON by eye: members are found by name, which is enough for requests of ours
// ----------

// Behind the colon of the (last, if asked) member of this name; NULL if there is none.
static const char *member(const char *body, const char *name, bool last)
{
    char quoted[64];
    const char *found = NULL;
    int size = snprintf(quoted, sizeof quoted, "\"%s\"", name);
    for (const char *at = body; (at = strstr(at, quoted)); at += size) {
        const char *value = at + size;
        if (at > body && at[-1] == '\\') // inside a string
            continue;
        value += strspn(value, " \t\r\n");
        if (*value != ':')
            continue;
        value++;
        value += strspn(value, " \t\r\n");
        found = value;
        if (!last)
            break;
    }
    return found;
}

static long number(const char *body, const char *name, long otherwise)
{
    const char *value = member(body, name, false);
    return value && *value >= '0' && *value <= '9' ? atol(value) : otherwise;
}

// ---- the LLM ------------------------------------------------------------------------------------

// `"…":…` of one chunk, in its HTTP chunk.
static size_t put_chunk(char *out, size_t room, const char *choice, const char *more)
{
    char data[MAX_PAD + 512];
    int size = snprintf(data, sizeof data,
                        "data: {\"id\":\"chatcmpl-standin\",\"object\":\"chat.completion.chunk\","
                        "\"created\":1700000000,\"model\":\"standin\",\"choices\":[%s]%s}\n\n",
                        choice, more);
    return (size_t)snprintf(out, room, "%x\r\n%s\r\n", (unsigned)size, data);
}

static void say_end(peer_t *peer)
{
    char out[1024], usage[160] = "";
    size_t size =
        put_chunk(out, sizeof out, "{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}", "");
    if (peer->usage) {
        snprintf(usage, sizeof usage,
                 ",\"usage\":{\"prompt_tokens\":%u,\"completion_tokens\":%u,\"total_tokens\":%u}",
                 peer->prompt_tokens, peer->tokens, peer->prompt_tokens + peer->tokens);
        size += put_chunk(out + size, sizeof out - size, "", usage);
    }
    size += (size_t)snprintf(out + size, sizeof out - size, "e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n");
    standin.open--;
    standin.whole++;
    peer->doing = WAITING; // the answer is over, whatever becomes of the connection
    if (send_bytes(peer, out, size) == 0)
        turn_to(peer, READING);
}

static void say_token(peer_t *peer)
{
    char out[MAX_PAD + 2048], text[MAX_PAD + 64], choice[MAX_PAD + 160];
    size_t size = 0;
    if (peer->sent == 0) {
        size = (size_t)snprintf(out, sizeof out,
                                "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                                "Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n");
        size += put_chunk(out + size, sizeof out - size,
                          "{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},"
                          "\"finish_reason\":null}",
                          "");
    }
    if (peer->sent < peer->tokens) {
        uint64_t now = rl_now_us();
        size_t length = text_token(text, peer->before + ++peer->sent, now);
        memset(text + length, 'x', peer->pad);
        text[length + peer->pad] = '\0';
        snprintf(choice, sizeof choice,
                 "{\"index\":0,\"delta\":{\"content\":\"%s\"},\"finish_reason\":null}", text);
        size += put_chunk(out + size, sizeof out - size, choice, "");
        samples_add(&standin.late, now > peer->timer.due_us ? now - peer->timer.due_us : 0);
        standin.tokens++;
    }
    if (send_bytes(peer, out, size) != 0 || peer->blocked)
        return;
    if (peer->sent == peer->tokens)
        say_end(peer);
    else
        loop_at(standin.loop, &peer->timer,
                peer->start_us + peer->first_us + peer->sent * peer->gap_us);
}

static void on_time_to_speak(loop_timer_t *timer)
{
    say_token((peer_t *)((char *)timer - offsetof(peer_t, timer)));
}

// The answer is over: the connection is kept, closed or reset as it says.
static void end_raving(peer_t *peer)
{
    wild_answer_t *answer = &peer->wild;
    struct linger at_once = {1, 0};
    if (answer->hangs)
        return; // until the other side has had enough
    bool closes = answer->closes;
    if (answer->resets)
        setsockopt(peer->watch.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    free(answer->bytes);
    answer->bytes = NULL;
    if (closes)
        peer_close(peer);
    else
        turn_to(peer, READING);
}

static void rave(loop_timer_t *timer)
{
    peer_t *peer = (peer_t *)((char *)timer - offsetof(peer_t, timer));
    const wild_answer_t *answer = &peer->wild;
    while (peer->wild_at < answer->size && !peer->blocked) {
        size_t left = answer->size - peer->wild_at, part = 1 + wild_below(&standin.dice, 2000);
        part = part < left ? part : left;
        peer->wild_at += part;
        if (send_bytes(peer, answer->bytes + peer->wild_at - part, part) != 0)
            return;
        if (wild_below(&standin.dice, 8) == 0) {
            loop_at(standin.loop, timer, rl_now_us() + wild_below(&standin.dice, 3000));
            return;
        }
    }
    if (!peer->blocked)
        end_raving(peer);
}

// An answer that is not streamed comes whole when its last token is due.
static void prepare_whole(peer_t *peer)
{
    char *text = malloc(64 * (size_t)peer->tokens + 512), word[64];
    uint64_t due = peer->start_us + peer->first_us + (peer->tokens - 1) * peer->gap_us;
    if (!text)
        abort();
    char *at = stpcpy(
        text, "{\"id\":\"chatcmpl-standin\",\"object\":\"chat.completion\","
              "\"created\":1700000000,\"model\":\"standin\",\"choices\":[{\"index\":0,"
              "\"finish_reason\":\"stop\",\"message\":{\"role\":\"assistant\",\"content\":\"");
    for (unsigned n = 1; n <= peer->tokens; n++) {
        text_token(word, peer->before + n, due);
        at = stpcpy(at, word);
    }
    sprintf(at,
            "\"}}],\"usage\":{\"prompt_tokens\":%u,\"completion_tokens\":%u,\"total_tokens\":%u}}",
            peer->prompt_tokens, peer->tokens, peer->prompt_tokens + peer->tokens);
    peer->out = text;
    peer->out_size = strlen(text);
    loop_at(standin.loop, &peer->timer, due);
}

static void complete(peer_t *peer, const char *body)
{
    const char *stream = member(body, "stream", false), *role = member(body, "role", true);
    long most = number(body, "max_tokens", number(body, "max_completion_tokens", 1000000));
    uint64_t stamp;
    unsigned n;
    if (!role) {
        refuse(peer, 400, "messages is missing");
        return;
    }
    long pad = number(body, "seed", 0);
    peer->pad = (unsigned)(pad < MAX_PAD ? pad : MAX_PAD);
    peer->before = 0;
    if (strncmp(role, "\"assistant\"", 11) == 0)
        for (const char *at = role; (at = text_next_token(at, at + strlen(at), &n, &stamp));)
            peer->before = n;
    long tokens = standin.options.tokens - (long)peer->before;
    tokens = tokens < most ? tokens : most;
    peer->tokens = tokens < 0 ? 0 : (unsigned)tokens;
    peer->sent = 0;
    peer->first_us = (uint64_t)(standin.options.first_ms * 1000);
    peer->gap_us = (uint64_t)(standin.options.gap_ms * 1000);
    peer->usage = member(body, "include_usage", false) != NULL;
    peer->prompt_tokens = (unsigned)(strlen(body) / 4);
    standin.answers++;
    if (!stream || strncmp(stream, "true", 4) != 0) {
        peer->tokens = peer->tokens ? peer->tokens : 1;
        turn_to(peer, WAITING);
        prepare_whole(peer);
        return;
    }
    if (standin.options.wild) {
        wild_draw(&standin.dice, peer->tokens, &peer->wild);
        peer->wild_at = 0;
        turn_to(peer, RAVING);
        loop_at(standin.loop, &peer->timer, peer->start_us + peer->first_us);
        return;
    }
    standin.open++;
    standin.most_open = standin.open > standin.most_open ? standin.open : standin.most_open;
    turn_to(peer, SPEAKING);
    loop_at(standin.loop, &peer->timer, peer->start_us + peer->first_us);
}

// ---- embeddings ---------------------------------------------------------------------------------

static const char *string_end(const char *at) // at: behind the opening quote
{
    for (; *at && *at != '"'; at++)
        if (*at == '\\' && at[1])
            at++;
    return at;
}

static char *put_row(char *out, unsigned index, const char *text, size_t size)
{
    float vector[TEXT_DIMENSION];
    text_vector(text, size, vector);
    out += sprintf(out, "%s{\"object\":\"embedding\",\"index\":%u,\"embedding\":[",
                   index ? "," : "", index);
    out += text_vector_json(vector, out);
    return stpcpy(out, "]}");
}

static void embed(peer_t *peer, const char *body)
{
    static const size_t row = 12 * TEXT_DIMENSION + 100;
    const char *at = member(body, "input", false);
    unsigned size = 0;
    if (!at || (*at != '"' && *at != '[')) {
        refuse(peer, 400, "input is missing");
        return;
    }
    bool one = *at == '"';
    at += !one;
    char *text = malloc(200 + row);
    if (!text)
        abort();
    char *end = stpcpy(text, "{\"object\":\"list\",\"model\":\"standin\",\"data\":[");
    for (at += strspn(at, " \t\r\n,"); *at == '"' && size < MAX_INPUTS; size++) {
        const char *stop = string_end(++at);
        size_t used = (size_t)(end - text);
        text = realloc(text, used + row + 200);
        if (!text)
            abort();
        end = put_row(text + used, size, at, (size_t)(stop - at));
        at = *stop ? stop + 1 : stop;
        at += strspn(at, " \t\r\n,");
        if (one)
            break;
    }
    sprintf(end, "],\"usage\":{\"prompt_tokens\":%u,\"total_tokens\":%u}}", size, size);
    standin.embeddings += size;
    turn_to(peer, WAITING);
    peer->out = text;
    peer->out_size = strlen(text);
    loop_at(standin.loop, &peer->timer,
            peer->start_us + (uint64_t)(standin.options.embed_ms * 1000));
}

// ---- itself -------------------------------------------------------------------------------------

static int set_option(const char *name, const char *value)
{
    double amount;
    char *end;
    errno = 0;
    amount = strtod(value, &end);
    if (end == value || (*end && *end != '&' && *end != ' ') || errno || amount < 0 || amount > 1e7)
        return -1;
    if (strncmp(name, "first-ms", 8) == 0)
        standin.options.first_ms = amount;
    else if (strncmp(name, "gap-ms", 6) == 0)
        standin.options.gap_ms = amount;
    else if (strncmp(name, "embed-ms", 8) == 0)
        standin.options.embed_ms = amount;
    else if (strncmp(name, "tokens", 6) == 0)
        standin.options.tokens = (long)amount;
    else if (strncmp(name, "send-buffer", 11) == 0)
        standin.options.send_buffer = (long)amount;
    else if (strncmp(name, "wild", 4) == 0)
        standin.dice = (uint64_t)(standin.options.wild = (long)amount);
    else
        return -1;
    return 0;
}

static void set(peer_t *peer, const char *query)
{
    while (*query && *query != ' ') {
        size_t name = strcspn(query, "=& ");
        if (query[name] != '=' || set_option(query, query + name + 1) != 0) {
            refuse(peer, 400, "first-ms, gap-ms, embed-ms, tokens and send-buffer can be set");
            return;
        }
        query += strcspn(query, "& ");
        query += *query == '&';
    }
    reply(peer, 200, "{}", 2);
}

static void show_stats(peer_t *peer, bool reset)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        abort();
    fprintf(out,
            "{\"open\":%llu,\"most_open\":%llu,\"answers\":%llu,\"whole\":%llu,\"gone\":%llu,"
            "\"tokens\":%llu,\"embeddings\":%llu,\"blocked\":%llu,\"blocked_now\":%llu,"
            "\"gone_us\":%llu,\"bad\":%llu,\"late_ms\":",
            (unsigned long long)standin.open, (unsigned long long)standin.most_open,
            (unsigned long long)standin.answers, (unsigned long long)standin.whole,
            (unsigned long long)standin.gone, (unsigned long long)standin.tokens,
            (unsigned long long)standin.embeddings, (unsigned long long)standin.blocked,
            (unsigned long long)standin.blocked_now, (unsigned long long)standin.gone_us,
            (unsigned long long)standin.bad);
    samples_json(&standin.late, out);
    fputs("}", out);
    fclose(out);
    if (reset) {
        samples_clear(&standin.late);
        standin.most_open = standin.open;
        standin.answers = standin.whole = standin.gone = standin.tokens = 0;
        standin.embeddings = standin.blocked = standin.bad = 0;
    }
    reply(peer, 200, text, size);
    free(text);
}

// ---- requests -----------------------------------------------------------------------------------

static void answer(peer_t *peer, const char *head, const char *body)
{
    static const char models[] =
        "{\"object\":\"list\",\"data\":[{\"id\":\"standin\",\"object\":\"model\","
        "\"created\":1700000000,\"owned_by\":\"ragline\"}]}";
    peer->start_us = rl_now_us();
    if (strncmp(head, "POST /v1/chat/completions ", 26) == 0)
        complete(peer, body);
    else if (strncmp(head, "POST /v1/embeddings ", 20) == 0)
        embed(peer, body);
    else if (strncmp(head, "GET /v1/models ", 15) == 0)
        reply(peer, 200, models, sizeof models - 1);
    else if (strncmp(head, "GET /stats", 10) == 0)
        show_stats(peer, strncmp(head + 10, "?reset", 6) == 0);
    else if (strncmp(head, "POST /set?", 10) == 0)
        set(peer, head + 10);
    else
        refuse(peer, 404, "no such path");
}

// Answers a request that is there completely. Returns -1 when what came is none.
static int take_request(peer_t *peer)
{
    char *end = peer->in_size > 3 ? memmem(peer->in, peer->in_size, "\r\n\r\n", 4) : NULL;
    if (!end)
        return 0;
    size_t head = (size_t)(end + 4 - peer->in), body = 0;
    *end = '\0';
    const char *length = strcasestr(peer->in, "\r\ncontent-length:");
    if (length)
        body = strtoul(length + 17, NULL, 10);
    bool chunked = strcasestr(peer->in, "\r\ntransfer-encoding:") != NULL;
    if (chunked || head + body > MAX_REQUEST)
        return -1;
    *end = '\r';
    if (peer->in_size < head + body)
        return 0;
    char *in = peer->in; // the peer may be gone behind answer()
    peer->in = NULL;
    peer->in_size = peer->in_room = 0;
    in[head + body] = '\0'; // nobody who measures sends the next request before the answer
    answer(peer, in, in + head);
    free(in);
    return 0;
}

static void read_request(peer_t *peer)
{
    if (peer->in_room - peer->in_size < 4096) {
        size_t room = peer->in_room ? 2 * peer->in_room : 16384;
        char *in = room <= 2 * MAX_REQUEST ? realloc(peer->in, room + 1) : NULL;
        if (!in) {
            peer_close(peer);
            return;
        }
        peer->in = in;
        peer->in_room = room;
    }
    ssize_t size =
        recv(peer->watch.fd, peer->in + peer->in_size, peer->in_room - peer->in_size, MSG_DONTWAIT);
    if (size < 0 && errno == EAGAIN)
        return;
    peer->in_size += size > 0 ? (size_t)size : 0;
    if (size <= 0 || take_request(peer) != 0)
        peer_close(peer);
}

static void on_peer(loop_watched_t *watch, uint32_t events)
{
    peer_t *peer = (peer_t *)((char *)watch - offsetof(peer_t, watch));
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR) && peer->doing != READING) {
        peer_close(peer);
        return;
    }
    if (events & EPOLLOUT && peer->out) {
        if (send_kept(peer) != 0)
            return;
        if (!peer->out && peer->doing >= SPEAKING)
            loop_at(standin.loop, &peer->timer, rl_now_us());
    }
    if (peer->doing == READING && events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        read_request(peer);
}

static void on_time_to_reply(loop_timer_t *timer)
{
    peer_t *peer = (peer_t *)((char *)timer - offsetof(peer_t, timer));
    char *body = peer->out;
    size_t size = peer->out_size;
    peer->out = NULL;
    peer->out_size = 0;
    reply(peer, 200, body, size);
    free(body);
}

static void turn_to(peer_t *peer, doing_t doing)
{
    peer->doing = doing;
    peer->timer.fn = doing == SPEAKING ? on_time_to_speak
                     : doing == RAVING ? rave
                                       : on_time_to_reply;
    watch_for(peer);
}

static void on_connection(loop_watched_t *watch, uint32_t events)
{
    (void)events;
    for (int turns = 0; turns < 64; turns++) {
        int fd = accept4(watch->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), yes = 1;
        int room = (int)standin.options.send_buffer;
        if (fd < 0)
            return;
        peer_t *peer = calloc(1, sizeof *peer);
        if (!peer)
            abort();
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        if (room > 0) // else it takes a megabyte before a reader that has stopped can be seen
            setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
        peer->watch = (loop_watched_t){.fn = on_peer, .fd = fd};
        loop_watch(standin.loop, &peer->watch, EPOLLIN);
    }
}

// ---- start --------------------------------------------------------------------------------------

static void listen_on(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int yes = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) != 0 || listen(fd, BACKLOG) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) != 0) {
        perror("standin: cannot listen");
        exit(1);
    }
    standin.listener = (loop_watched_t){.fn = on_connection, .fd = fd};
    loop_watch(standin.loop, &standin.listener, EPOLLIN);
    printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);
}

static void read_options(int argc, char **argv)
{
    static const struct option names[] = {
        {"port", required_argument, NULL, 'p'},     {"first-ms", required_argument, NULL, 'o'},
        {"gap-ms", required_argument, NULL, 'o'},   {"tokens", required_argument, NULL, 'o'},
        {"embed-ms", required_argument, NULL, 'o'}, {"send-buffer", required_argument, NULL, 'o'},
        {"wild", required_argument, NULL, 'o'},     {0}};
    int option, at;
    while ((option = getopt_long(argc, argv, "", names, &at)) != -1) {
        if (option == 'p')
            standin.options.port = atoi(optarg);
        else if (option != 'o' || set_option(names[at].name, optarg) != 0)
            exit(2); // getopt has said why, or the number is none
    }
}

int main(int argc, char **argv)
{
    struct rlimit files;
    read_options(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    standin.loop = loop_new();
    listen_on(standin.options.port);
    loop_run(standin.loop);
    return 0;
}
