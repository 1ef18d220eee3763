// load: asks questions over many streams at once, checks every answer, and says how long things
// took, as JSON.
//
//   load --url http://127.0.0.1:8080/v1/ask --streams 200 --seconds 10
//
// The last part of the path says what is asked: ask, search (ragline), completions (an LLM server,
// which must be the stand-in), embeddings. Each stream keeps its connection. The clock of a
// question starts when it is written (for a stream's first: before it connects).
//
// An answer is whole when it has every token once and in order and all events that belong to it in
// theirs, numbered without a gap, and no source of passages was missing.
//
// With --rate the questions come at fixed times, whether those before are answered or not: a stream
// that is free takes the next, and one for which none is free is counted as missed. With --refusals
// an answer 429 is no fault; it is counted and timed. With --notes FILE each answer of ask leaves a
// line there: its timings, and when the client saw what. With --wild the LLM may fail as it likes
// (standin --wild): an answer that ends with an error is counted as told, one that ends with a
// reason other than "stop" as short; what has no end, or says "stop" without all its tokens, is a
// fault.
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "lib/loop.h"
#include "lib/notes.h"
#include "lib/reader.h"
#include "lib/samples.h"
#include "lib/text.h"

enum {
    QUESTION_WORDS = 12,
    MAX_TOLD = 5,
    READ_BYTES = 65536,
    AFTER_FAULT_US = 10000
};

typedef enum asked {
    ASK,
    SEARCH,
    COMPLETIONS,
    EMBEDDINGS,
} asked_t;

// What of an answer has come.
enum {
    GOT_STATUS = 1,
    GOT_SOURCES = 2,
    GOT_TOKEN = 4,
    GOT_TIMINGS = 8,
    GOT_DONE = 16,
    GOT_SHORT = 32, // done, and a reason why it is not all
    GOT_ERROR = 64, // an error that says something
};

typedef struct stream {
    struct stream *next_free;
    loop_watched_t watch;
    loop_timer_t timer; // the next question's start, then the longest time for its answer
    reader_t reader;
    bool connected, asking;
    bool scored;       // this question's times count
    unsigned asked;    // questions so far
    uint64_t start_us; // of this question
    unsigned got, events, tokens;
    note_t note;
    char fault[200]; // what is wrong with this answer, "" if nothing
    char *request;   // what is not written yet
    size_t request_size, request_at;
} stream_t;

static struct {
    asked_t what;
    struct sockaddr_in address;
    char path[200];
    unsigned streams, questions, tokens, max_tokens, k;
    double seconds, rate;
    unsigned long spread_ms, timeout_ms, first, skip_ms;
    bool refusals, continuation, wild;
    const char *kinds;

    loop_t *loop;
    uint64_t begun_us, ended_us, next;
    unsigned running;
    unsigned long asked, whole, failed, refused, missed, token_count, told_error, cut_short;
    samples_t status, sources, first_token, lag, total, refusal;
    loop_timer_t ticker; // with --rate: the next question is due
    stream_t *free;
    char told[MAX_TOLD][200];
    unsigned told_size;
} load = {.streams = 1, .questions = 1, .tokens = 64, .timeout_ms = 60000};

static void stream_close(stream_t *stream)
{
    if (stream->watch.fd >= 0) {
        loop_forget(load.loop, &stream->watch);
        close(stream->watch.fd);
    }
    stream->watch.fd = -1;
    stream->connected = false;
}

// ---- the answer ---------------------------------------------------------------------------------

static void blame(stream_t *stream, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void blame(stream_t *stream, const char *format, ...)
{
    va_list args;
    if (*stream->fault)
        return; // the first fault says most
    va_start(args, format);
    vsnprintf(stream->fault, sizeof stream->fault, format, args);
    va_end(args);
}

static void take_tokens(stream_t *stream, const char *data, size_t size)
{
    const char *at = data, *end = data + size;
    uint64_t stamp, now = rl_now_us();
    unsigned n;
    while ((at = text_next_token(at, end, &n, &stamp))) {
        if (n != stream->tokens + 1)
            blame(stream, "token %u came after token %u", n, stream->tokens);
        stream->tokens = n;
        load.token_count++;
        if (!(stream->got & GOT_TOKEN) && stream->scored)
            samples_add(&load.first_token, now - stream->start_us);
        if (!(stream->got & GOT_TOKEN))
            stream->note.first_token_us = now;
        stream->got |= GOT_TOKEN;
        if (stream->scored)
            samples_add(&load.lag, now - stamp);
    }
}

// Whether `data` names all sources as answered.
static bool is_covered(const char *data)
{
    const char *coverage = strstr(data, "\"coverage\":");
    unsigned answered, of;
    return coverage &&
           sscanf(coverage, "\"coverage\":{\"answered\":%u,\"of\":%u", &answered, &of) == 2 &&
           answered == of && of > 0;
}

// An event of this name comes only once, and behind `before`.
static void mark(stream_t *stream, const char *name, unsigned got, unsigned before)
{
    if (stream->got & got)
        blame(stream, "a second event %s", name);
    if ((stream->got & before) != before)
        blame(stream, "event %s came too early", name);
    stream->got |= got;
}

static void take_ask_event(stream_t *stream, char *event, size_t size)
{
    if (*event == ':')
        return;
    uint64_t us = rl_now_us() - stream->start_us;
    char *id = strstr(event, "\nid: "), *data = strstr(event, "\ndata: ");
    if (strncmp(event, "event: ", 7) != 0 || !id || !data) {
        blame(stream, "no event of /v1/ask: %.60s", event);
        return;
    }
    if (strtoul(id + 5, NULL, 10) != ++stream->events)
        blame(stream, "event %lu came where %u was due", strtoul(id + 5, NULL, 10), stream->events);
    event += 7;
    if (strncmp(event, "token\n", 6) == 0) {
        if (!(stream->got & GOT_SOURCES))
            blame(stream, "a token came before the sources");
        take_tokens(stream, data, size - (size_t)(data + 7 - event));
    } else if (strncmp(event, "status\n", 7) == 0) {
        if (!(stream->got & GOT_STATUS) && stream->scored)
            samples_add(&load.status, us);
        if (!(stream->got & GOT_STATUS))
            stream->note.status_us = stream->start_us + us;
        stream->got |= GOT_STATUS;
    } else if (strncmp(event, "found\n", 6) == 0) {
        if (stream->got & GOT_SOURCES)
            blame(stream, "passages so far came after all of them");
    } else if (strncmp(event, "sources\n", 8) == 0) {
        mark(stream, "sources", GOT_SOURCES, GOT_STATUS);
        stream->note.sources_us = stream->start_us + us;
        if (stream->scored)
            samples_add(&load.sources, us);
        if (!is_covered(data))
            blame(stream, "a source of passages is missing");
        if (!strstr(data, "\"n\":1,"))
            blame(stream, "no passages");
    } else if (strncmp(event, "timings\n", 8) == 0) {
        mark(stream, "timings", GOT_TIMINGS, load.wild ? 0 : GOT_TOKEN); // a refusal has none
        note_timings(&stream->note, data + 7, stream->start_us + us);
    } else if (strncmp(event, "done\n", 5) == 0) {
        mark(stream, "done", GOT_DONE, GOT_TIMINGS);
    } else {
        blame(stream, "%.190s", event);
    }
}

// With --wild: whether the event is an end that the LLM's faults explain.
static bool take_wild_end(stream_t *stream, const char *event)
{
    static const char *const reasons[] = {"length", "content_filter"};
    const char *message = strstr(event, "\"message\":\""), *reason;
    if (strncmp(event, "event: error\n", 13) == 0 && message && message[11] != '"') {
        mark(stream, "error", GOT_ERROR, 0);
        return true;
    }
    if (strncmp(event, "event: done\n", 12) != 0 ||
        !(reason = strstr(event, "\"finish_reason\":\"")))
        return false;
    for (size_t at = 0; at < sizeof reasons / sizeof *reasons; at++)
        if (strncmp(reason + 17, reasons[at], strlen(reasons[at])) == 0)
            stream->got |= GOT_SHORT;
    return false;
}

static void take_found(stream_t *stream, const char *data)
{
    stream->got |= GOT_DONE;
    if (!is_covered(data))
        blame(stream, "a source of passages is missing");
    if (!strstr(data, "\"n\":1,"))
        blame(stream, "no passages");
}

static void take_event(void *arg, char *event, size_t size)
{
    stream_t *stream = arg;
    if (stream->reader.status == 429 && load.refusals)
        return;
    if (stream->reader.status != 200) {
        blame(stream, "HTTP %d: %.150s", stream->reader.status, event);
        return;
    }
    if (load.what == ASK && load.wild && take_wild_end(stream, event))
        return;
    if (load.what == ASK) {
        take_ask_event(stream, event, size);
    } else if (load.what == SEARCH) {
        take_found(stream, event);
    } else if (load.what == COMPLETIONS) {
        if (strcmp(event, "data: [DONE]") == 0)
            stream->got |= GOT_DONE;
        else
            take_tokens(stream, event, size);
    } else if (strstr(event, "\"embedding\":[")) {
        stream->got |= GOT_DONE;
    }
}

static bool is_over(void)
{
    return (double)(rl_now_us() - load.begun_us) >= load.seconds * 1e6;
}

// With --rate: no question is due any more, and the last has its answer.
static void end_if_over(void)
{
    if (load.running == 0 && is_over())
        loop_stop(load.loop);
}

// The question has its answer, or never will.
static void stream_finish(stream_t *stream)
{
    unsigned due = load.max_tokens && load.max_tokens < load.tokens ? load.max_tokens : load.tokens;
    load.ended_us = rl_now_us();
    stream->asking = false;
    bool refused = stream->reader.status == 429 && load.refusals;
    bool error = stream->got & GOT_ERROR, cut = stream->got & GOT_SHORT;
    if (error && stream->got & GOT_DONE)
        blame(stream, "an error and an end");
    if (!(stream->got & (GOT_DONE | GOT_ERROR)) && !refused)
        blame(stream, "the answer ended early");
    if ((load.what == ASK || load.what == COMPLETIONS) && stream->tokens != due && !refused &&
        !error && !cut)
        blame(stream, "%u tokens instead of %u", stream->tokens, due);
    if (refused && !*stream->fault) {
        load.refused++;
        samples_add(&load.refusal, load.ended_us - stream->start_us);
    } else if (*stream->fault) {
        load.failed++;
        if (load.told_size < MAX_TOLD)
            memcpy(load.told[load.told_size++], stream->fault, sizeof stream->fault);
        stream_close(stream);
    } else if (error || cut) {
        load.told_error += error;
        load.cut_short += cut;
    } else {
        load.whole++;
        note_end(&stream->note, load.ended_us);
        if (stream->scored)
            samples_add(&load.total, load.ended_us - stream->start_us);
    }
    free(stream->request);
    stream->request = NULL;
    if (load.rate > 0) {
        loop_not(load.loop, &stream->timer);
        stream->next_free = load.free;
        load.free = stream;
        load.running--;
        end_if_over();
        return;
    }
    // by the timer, so that a server that refuses at once is no endless recursion
    loop_at(load.loop, &stream->timer, load.ended_us + (*stream->fault ? AFTER_FAULT_US : 0));
}

// ---- the question -------------------------------------------------------------------------------

static void make_request(stream_t *stream)
{
    char question[QUESTION_WORDS * 16], limit[48] = "", body[1024];
    text_question(question, QUESTION_WORDS, 1000003 * (load.first + load.next++));
    if (load.max_tokens)
        snprintf(limit, sizeof limit, ",\"max_tokens\":%u", load.max_tokens);
    if (load.what == EMBEDDINGS) {
        snprintf(body, sizeof body, "{\"model\":\"standin\",\"input\":[\"%s\"]}", question);
    } else if (load.what == COMPLETIONS) {
        snprintf(body, sizeof body,
                 "{\"model\":\"standin\",\"stream\":true%s,"
                 "\"messages\":[{\"role\":\"user\",\"content\":\"%s\"}]}",
                 limit, question);
    } else {
        char kinds[64] = "", k[24] = "";
        if (load.kinds)
            snprintf(kinds, sizeof kinds, ",\"kinds\":[\"%s\"]", load.kinds);
        if (load.k)
            snprintf(k, sizeof k, ",\"k\":%u", load.k);
        snprintf(body, sizeof body, "{\"question\":\"%s\"%s%s%s%s}", question, limit, kinds, k,
                 load.continuation ? ",\"continuation\":true" : "");
    }
    int size = asprintf(&stream->request,
                        "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
                        "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                        load.path, ntohs(load.address.sin_port), strlen(body), body);
    if (size < 0)
        abort();
    stream->request_size = (size_t)size;
    stream->request_at = 0;
}

static void write_request(stream_t *stream)
{
    if (stream->request_at == 0)
        note_start(&stream->note, rl_now_us());
    ssize_t done = send(stream->watch.fd, stream->request + stream->request_at,
                        stream->request_size - stream->request_at, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (done < 0 && errno != EAGAIN) {
        blame(stream, "cannot send: %s", strerror(errno));
        stream_finish(stream);
        return;
    }
    stream->request_at += done > 0 ? (size_t)done : 0;
    bool all = stream->request_at == stream->request_size;
    if (!stream->connected || !all) // writing is the exception, once connected
        loop_rewatch(load.loop, &stream->watch, all ? EPOLLIN : EPOLLIN | EPOLLOUT);
    stream->connected = true;
}

static void read_answer(stream_t *stream)
{
    static char data[READ_BYTES];
    ssize_t size = recv(stream->watch.fd, data, sizeof data, MSG_DONTWAIT);
    if (size < 0 && errno == EAGAIN)
        return;
    if (size <= 0) {
        blame(stream, "connection lost: %s", size < 0 ? strerror(errno) : "closed");
        stream_finish(stream);
        return;
    }
    reader_take(&stream->reader, data, (size_t)size, take_event, stream);
    if (stream->reader.state == READER_BROKEN)
        blame(stream, "no HTTP response");
    if (stream->reader.state >= READER_DONE)
        stream_finish(stream);
}

static void on_socket(loop_watched_t *watch, uint32_t events)
{
    stream_t *stream = (stream_t *)((char *)watch - offsetof(stream_t, watch));
    if (events & EPOLLOUT && stream->request_at < stream->request_size)
        write_request(stream);
    else if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        read_answer(stream);
}

static int stream_connect(stream_t *stream)
{
    int yes = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        blame(stream, "no socket: %s", strerror(errno));
        return -1;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    stream->watch = (loop_watched_t){.fn = on_socket, .fd = fd};
    if (connect(fd, (struct sockaddr *)&load.address, sizeof load.address) != 0 &&
        errno != EINPROGRESS) {
        blame(stream, "cannot connect: %s", strerror(errno));
        return -1;
    }
    loop_watch(load.loop, &stream->watch, EPOLLIN | EPOLLOUT);
    return 0;
}

static bool wants_more(const stream_t *stream)
{
    if (load.seconds > 0)
        return (double)(rl_now_us() - load.begun_us) < load.seconds * 1e6;
    return stream->asked < load.questions;
}

static void stream_ask(stream_t *stream)
{
    reader_reset(&stream->reader);
    stream->got = stream->events = stream->tokens = 0;
    stream->fault[0] = '\0';
    stream->asking = true;
    stream->asked++;
    load.asked++;
    make_request(stream);
    stream->start_us = rl_now_us();
    stream->scored = stream->start_us - load.begun_us >= load.skip_ms * 1000;
    loop_at(load.loop, &stream->timer, stream->start_us + load.timeout_ms * 1000);
    if (stream->watch.fd >= 0)
        write_request(stream);
    else if (stream_connect(stream) != 0)
        stream_finish(stream);
}

static void stream_next(stream_t *stream)
{
    if (!wants_more(stream)) {
        stream_close(stream);
        note_drop(&stream->note);
        reader_free(&stream->reader);
        if (--load.running == 0)
            loop_stop(load.loop);
        return;
    }
    stream_ask(stream);
}

static void on_tick(loop_timer_t *timer)
{
    stream_t *stream = load.free;
    if (is_over()) {
        end_if_over();
        return;
    }
    loop_at(load.loop, timer, timer->due_us + (uint64_t)(1e6 / load.rate));
    if (!stream) {
        load.missed++;
        return;
    }
    load.free = stream->next_free;
    load.running++;
    stream_ask(stream);
}

static void on_time(loop_timer_t *timer)
{
    stream_t *stream = (stream_t *)((char *)timer - offsetof(stream_t, timer));
    if (!stream->asking) {
        stream_next(stream);
        return;
    }
    blame(stream, "no whole answer within %lu ms", load.timeout_ms);
    stream_finish(stream);
}

// ---- start and end ------------------------------------------------------------------------------

static void usage(void)
{
    fputs(
        "usage: load --url http://ADDRESS:PORT/v1/ask|search|chat/completions|embeddings\n"
        "  --streams N        at a time (1)        --questions N  of each stream (1)\n"
        "  --seconds S        instead: none begins after this time\n"
        "  --spread-ms MS     the streams begin evenly over this time (0: at once)\n"
        "  --tokens N         of a whole answer (64)   --max-tokens N  asks for fewer\n"
        "  --kinds dense      --k N    --timeout-ms MS    --first N  number of the first question\n"
        "  --rate N           questions a second at fixed times, for --seconds, on --streams\n"
        "  --refusals         429 is no fault      --continuation  asks for it\n"
        "  --wild             the LLM may fail: an answer with an error is no fault\n"
        "  --skip-ms MS       times of questions asked before are left out\n"
        "  --notes FILE       a line for each answer: its timings, and when the client saw what\n",
        stderr);
    exit(2);
}

static void read_url(const char *url)
{
    char host[64];
    unsigned port;
    if (sscanf(url, "http://%63[0-9.]:%u%199s", host, &port, load.path) != 3 || port > 65535)
        usage();
    load.address.sin_family = AF_INET;
    load.address.sin_port = htons((uint16_t)port);
    if (inet_pton(AF_INET, host, &load.address.sin_addr) != 1)
        usage();
    load.what = strstr(load.path, "completions")  ? COMPLETIONS
                : strstr(load.path, "search")     ? SEARCH
                : strstr(load.path, "embeddings") ? EMBEDDINGS
                                                  : ASK;
}

static void read_options(int argc, char **argv)
{
    static const struct option names[] = {{"url", required_argument, NULL, 'u'},
                                          {"streams", required_argument, NULL, 'n'},
                                          {"questions", required_argument, NULL, 'q'},
                                          {"seconds", required_argument, NULL, 's'},
                                          {"spread-ms", required_argument, NULL, 'p'},
                                          {"tokens", required_argument, NULL, 't'},
                                          {"max-tokens", required_argument, NULL, 'm'},
                                          {"kinds", required_argument, NULL, 'd'},
                                          {"k", required_argument, NULL, 'k'},
                                          {"timeout-ms", required_argument, NULL, 'o'},
                                          {"first", required_argument, NULL, 'f'},
                                          {"rate", required_argument, NULL, 'r'},
                                          {"skip-ms", required_argument, NULL, 'i'},
                                          {"refusals", no_argument, NULL, 'e'},
                                          {"continuation", no_argument, NULL, 'c'},
                                          {"notes", required_argument, NULL, 'w'},
                                          {"wild", no_argument, NULL, 'l'},
                                          {0}};
    for (int option; (option = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        unsigned long number = optarg ? strtoul(optarg, NULL, 10) : 0;
        switch (option) {
        case 'u':
            read_url(optarg);
            break;
        case 'n':
            load.streams = (unsigned)number;
            break;
        case 'q':
            load.questions = (unsigned)number;
            break;
        case 's':
            load.seconds = strtod(optarg, NULL);
            break;
        case 'p':
            load.spread_ms = number;
            break;
        case 't':
            load.tokens = (unsigned)number;
            break;
        case 'm':
            load.max_tokens = (unsigned)number;
            break;
        case 'd':
            load.kinds = optarg;
            break;
        case 'k':
            load.k = (unsigned)number;
            break;
        case 'o':
            load.timeout_ms = number;
            break;
        case 'f':
            load.first = number;
            break;
        case 'r':
            load.rate = strtod(optarg, NULL);
            break;
        case 'i':
            load.skip_ms = number;
            break;
        case 'e':
            load.refusals = true;
            break;
        case 'c':
            load.continuation = true;
            break;
        case 'l':
            load.wild = true;
            break;
        case 'w':
            notes_open(optarg);
            break;
        default:
            usage();
        }
    }
    bool timed = load.rate > 0 && load.seconds > 0;
    if (!*load.path || load.streams == 0 || optind < argc || (load.rate != 0 && !timed))
        usage();
}

static void print_samples(const char *name, samples_t *samples)
{
    if (samples->size == 0)
        return;
    printf(",\"%s_ms\":", name);
    samples_json(samples, stdout);
}

static void print_result(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    double cpu = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
                 (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
    printf("{\"streams\":%u,\"questions\":%lu,\"whole\":%lu,\"failed\":%lu,"
           "\"refused\":%lu,\"missed\":%lu,\"told_error\":%lu,\"cut_short\":%lu,\"tokens\":%lu,"
           "\"seconds\":%.3f,\"own_cpu_s\":%.3f",
           load.streams, load.asked, load.whole, load.failed, load.refused, load.missed,
           load.told_error, load.cut_short, load.token_count,
           (double)(load.ended_us - load.begun_us) / 1e6, cpu);
    print_samples("status", &load.status);
    print_samples("sources", &load.sources);
    print_samples("first_token", &load.first_token);
    print_samples("lag", &load.lag);
    print_samples("total", &load.total);
    print_samples("refusal", &load.refusal);
    fputs(",\"faults\":[", stdout);
    for (unsigned i = 0; i < load.told_size; i++) {
        fputs(i ? ",\"" : "\"", stdout);
        for (const char *at = load.told[i]; *at; at++)
            putchar(strchr("\"\\", *at) || (unsigned char)*at < ' ' ? ' ' : *at);
        putchar('"');
    }
    puts("]}");
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
    load.loop = loop_new();
    stream_t *streams = calloc(load.streams, sizeof *streams);
    if (!streams)
        abort();
    load.begun_us = load.ended_us = rl_now_us();
    load.running = load.rate > 0 ? 0 : load.streams;
    load.ticker.fn = on_tick;
    if (load.rate > 0)
        loop_at(load.loop, &load.ticker, load.begun_us);
    for (unsigned i = load.streams; i-- > 0;) {
        streams[i].watch.fd = -1;
        streams[i].timer.fn = on_time;
        streams[i].next_free = load.free;
        load.free = &streams[i];
        if (load.rate == 0)
            loop_at(load.loop, &streams[i].timer,
                    load.begun_us + load.spread_ms * 1000 * i / load.streams);
    }
    loop_run(load.loop);
    print_result();
    return load.failed > 0;
}
