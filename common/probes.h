// probes: static probes (USDT) at the boundaries of stages, for bpftrace, perf and SystemTap. Each
// is one nop until a tracer looks at it, and there is one macro for each, whose parameters are the
// probe's arguments (arg0, arg1… in bpftrace). "readelf -n PROGRAM" lists those of a program.
//
// Provider "ragline". Strings are NUL-terminated UTF-8: str(argN). `id` is the request id that the
// client got as X-Request-Id, the same in all three programs; `task` is the gateway's number of a
// task, which the worker has too. Durations are µs.
//
// Without <sys/sdt.h> (systemtap-sdt-dev), or with -DRL_NO_PROBES, they compile to nothing.
#ifndef RL_PROBES_H
#define RL_PROBES_H

#include <stdint.h>

#if !defined RL_NO_PROBES && defined __has_include
#if __has_include(<sys/sdt.h>)
#include <sys/sdt.h>
#define RL_PROBES 1
#endif
#endif
#ifndef RL_PROBES
#define RL_PROBES 0
#endif

// A tracer cannot wait for a page to be read from disk: a constant that was never read yet
// would come out empty. So its first byte is read; where there is no string, the probe gets "".
static inline const char *rl_probe_text(const char *text)
{
    text = text ? text : "";
    (void)*(const volatile char *)text;
    return text;
}

#if RL_PROBES
#define RL_PROBE2(name, a, b) STAP_PROBE2(ragline, name, a, b)
#define RL_PROBE3(name, a, b, c) STAP_PROBE3(ragline, name, a, b, c)
#define RL_PROBE4(name, a, b, c, d) STAP_PROBE4(ragline, name, a, b, c, d)
#define RL_PROBE5(name, a, b, c, d, e) STAP_PROBE5(ragline, name, a, b, c, d, e)
#else // the arguments are checked, and not evaluated
#define RL_PROBE2(name, a, b) ((void)sizeof(a), (void)sizeof(b))
#define RL_PROBE3(name, a, b, c) (RL_PROBE2(name, a, b), (void)sizeof(c))
#define RL_PROBE4(name, a, b, c, d) (RL_PROBE3(name, a, b, c), (void)sizeof(d))
#define RL_PROBE5(name, a, b, c, d, e) (RL_PROBE4(name, a, b, c, d), (void)sizeof(e))
#endif

#define RL_TEXT_(text) rl_probe_text(text)
#define RL_NUMBER_(number) ((uint64_t)(number))

// ---- gateway --------------------------------------------------------------------------------

// A request's state changed: arg0 id, arg1 the old state, arg2 the new one, arg3 µs since the
// request's first byte. The states are those of the timings.
#define RL_PROBE_REQUEST_STATE(id, before, after, since_us)                                        \
    RL_PROBE4(request_state, RL_TEXT_(id), RL_TEXT_(before), RL_TEXT_(after), RL_NUMBER_(since_us))
// A search left for a retriever: arg0 id, arg1 task, arg2 the worker's id, arg3 1 for a hedge.
#define RL_PROBE_SEARCH_SENT(id, task, worker, hedge)                                              \
    RL_PROBE4(search_sent, RL_TEXT_(id), RL_NUMBER_(task), RL_TEXT_(worker), RL_NUMBER_(hedge))
// Its answer came: arg0 id, arg1 task, arg2 the worker's id, arg3 µs since it was sent, arg4 hits.
#define RL_PROBE_SEARCH_ANSWERED(id, task, worker, took_us, hits)                                  \
    RL_PROBE5(search_answered, RL_TEXT_(id), RL_NUMBER_(task), RL_TEXT_(worker),                   \
              RL_NUMBER_(took_us), RL_NUMBER_(hits))
// It failed, or its worker was lost: arg0 id, arg1 task, arg2 the worker's id, arg3 µs since it was
// sent, arg4 the code ("worker_lost", "deadline", "busy"…).
#define RL_PROBE_SEARCH_FAILED(id, task, worker, took_us, code)                                    \
    RL_PROBE5(search_failed, RL_TEXT_(id), RL_NUMBER_(task), RL_TEXT_(worker),                     \
              RL_NUMBER_(took_us), RL_TEXT_(code))
// The passages left for a generator: arg0 id, arg1 task, arg2 the worker's id, arg3 passages.
#define RL_PROBE_GENERATION_SENT(id, task, worker, passages)                                       \
    RL_PROBE4(generation_sent, RL_TEXT_(id), RL_NUMBER_(task), RL_TEXT_(worker),                   \
              RL_NUMBER_(passages))
// It failed, or its worker was lost: arg0 id, arg1 task, arg2 the worker's id, arg3 µs since it was
// sent, arg4 the code.
#define RL_PROBE_GENERATION_FAILED(id, task, worker, took_us, code)                                \
    RL_PROBE5(generation_failed, RL_TEXT_(id), RL_NUMBER_(task), RL_TEXT_(worker),                 \
              RL_NUMBER_(took_us), RL_TEXT_(code))
// The first token came: arg0 id, arg1 task, arg2 µs since the request's first byte.
#define RL_PROBE_FIRST_TOKEN(id, task, since_us)                                                   \
    RL_PROBE3(first_token, RL_TEXT_(id), RL_NUMBER_(task), RL_NUMBER_(since_us))
// A request has ended: arg0 id, arg1 its last state ("done", "failed", "cancelled"), arg2 µs since
// its first byte, arg3 tokens relayed.
#define RL_PROBE_REQUEST_DONE(id, outcome, took_us, tokens)                                        \
    RL_PROBE4(request_done, RL_TEXT_(id), RL_TEXT_(outcome), RL_NUMBER_(took_us),                  \
              RL_NUMBER_(tokens))

// ---- retriever ------------------------------------------------------------------------------

// A search was taken and stands in line: arg0 id, arg1 task, arg2 the worker's id, arg3 hits
// wanted.
#define RL_PROBE_TASK_TAKEN(id, task, worker, k)                                                   \
    RL_PROBE4(task_taken, RL_TEXT_(id), RL_NUMBER_(task), RL_TEXT_(worker), RL_NUMBER_(k))
// The index was searched, in a thread of the pool: arg0 id, arg1 task, arg2 µs in line, arg3 µs of
// the search, arg4 questions that were searched together.
#define RL_PROBE_TASK_SEARCHED(id, task, queue_us, work_us, together)                              \
    RL_PROBE5(task_searched, RL_TEXT_(id), RL_NUMBER_(task), RL_NUMBER_(queue_us),                 \
              RL_NUMBER_(work_us), RL_NUMBER_(together))
// The answer left, or it was cancelled: arg0 id, arg1 task, arg2 µs since the task
// came, arg3 hits, arg4 "" or the code of what went wrong ("deadline", "busy", "cancelled"…).
#define RL_PROBE_TASK_ANSWERED(id, task, took_us, hits, code)                                      \
    RL_PROBE5(task_answered, RL_TEXT_(id), RL_NUMBER_(task), RL_NUMBER_(took_us),                  \
              RL_NUMBER_(hits), RL_TEXT_(code))

// ---- generator ------------------------------------------------------------------------------

// A task was taken: arg0 id, arg1 task, arg2 answers at work, arg3 tasks that wait before it.
#define RL_PROBE_GENERATE_TAKEN(id, task, running, waiting)                                        \
    RL_PROBE4(generate_taken, RL_TEXT_(id), RL_NUMBER_(task), RL_NUMBER_(running),                 \
              RL_NUMBER_(waiting))
// The prompt was built: arg0 id, arg1 task, arg2 µs since the task came, arg3 tokens (estimated),
// arg4 passages in it.
#define RL_PROBE_PROMPT_BUILT(id, task, since_us, tokens, passages)                                \
    RL_PROBE5(prompt_built, RL_TEXT_(id), RL_NUMBER_(task), RL_NUMBER_(since_us),                  \
              RL_NUMBER_(tokens), RL_NUMBER_(passages))
// The LLM server is asked: arg0 id, arg1 task, arg2 µs since the task came, arg3 the upstream's
// name.
#define RL_PROBE_LLM_ASKED(id, task, since_us, upstream)                                           \
    RL_PROBE4(llm_asked, RL_TEXT_(id), RL_NUMBER_(task), RL_NUMBER_(since_us), RL_TEXT_(upstream))
// Its first token came: arg0 id, arg1 task, arg2 µs since the task came, arg3 µs since it was
// asked.
#define RL_PROBE_LLM_FIRST_TOKEN(id, task, since_us, asked_us)                                     \
    RL_PROBE4(llm_first_token, RL_TEXT_(id), RL_NUMBER_(task), RL_NUMBER_(since_us),               \
              RL_NUMBER_(asked_us))
// The task has ended: arg0 id, arg1 task, arg2 µs since it came, arg3 tokens, arg4 "done", "failed"
// or "cancelled".
#define RL_PROBE_GENERATE_DONE(id, task, took_us, tokens, outcome)                                 \
    RL_PROBE5(generate_done, RL_TEXT_(id), RL_NUMBER_(task), RL_NUMBER_(took_us),                  \
              RL_NUMBER_(tokens), RL_TEXT_(outcome))

#endif
