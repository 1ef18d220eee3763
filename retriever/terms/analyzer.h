// analyzer: the terms of a text: the same for passages that are indexed and for questions, so it is
// here once. Xapian's TermGenerator makes the words (lower case, stemmed, stop words left out,
// scripts without spaces as characters and pairs); technical names get terms of their own besides:
//   CURLOPT_TIMEOUT_MS   also its parts: curlopt, timeout, ms
//   --max-time, -v       also as they stand
// Measured (nDCG@10, or share of questions answered): parts of names +.03 on a technical corpus,
// option names +.14 on questions about one; other compounds whole (http/2) gained nothing.
#ifndef ANALYZER_H
#define ANALYZER_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    TERM_MAX = 60, // bytes of a term made here; longer words are passed over
};

typedef struct analyzer analyzer_t; // not for two threads at a time

// Whether there are rules for this language; analyzer_languages names them all.
bool analyzer_knows(const char *language);
const char *analyzer_languages(void);

// NULL for an unknown language.
analyzer_t *analyzer_new(const char *language);
void analyzer_destroy(analyzer_t **self_p);

// Calls `fn` for each distinct term of the texts together, in byte order, with how often it stands
// there. Text is UTF-8.
typedef void(analyzer_fn)(void *arg, const char *term, unsigned times);
void analyzer_each(analyzer_t *self, const char *const *texts, size_t size, analyzer_fn *fn,
                   void *arg);

#ifdef __cplusplus
}

#include <xapian.h>

// The same into a Xapian document (C++ only; throws Xapian::Error).
void analyzer_index(analyzer_t *self, const char *const *texts, size_t size,
                    Xapian::Document &document);
#endif

#endif
