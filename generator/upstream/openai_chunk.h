// openai_chunk: reads what an OpenAI-compatible chat server sends: a chunk of a stream, a whole
// answer, an error. Only values that are there and of the right type are taken.
#ifndef OPENAI_CHUNK_H
#define OPENAI_CHUNK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "json.h"

typedef struct openai_chunk {
    rl_json_doc_t *doc; // owns the texts below
    const char *text;   // delta.content or message.content, NULL if none
    size_t text_size;
    char *raw;           // owned; holds `text` where it is not the document's
    bool reasoning;      // it thinks aloud: there is reasoning_content, or a part that is thinking
    const char *refusal; // its words, NULL if none
    size_t refusal_size;
    bool tool_call;     // it calls a tool
    const char *finish; // finish_reason as the server says it, NULL if none
    const char *model;  // NULL if none
    const char *error;  // message of an error object, NULL if none
    long error_code;    // its number, 0 if none
    bool counted;       // usage is there
    uint64_t prompt_tokens, completion_tokens;
    int64_t cached_tokens; // -1: not said
    int64_t read_tokens;   // of the prompt, those not cached; -1: not said
    double prefill_ms;     // < 0: not said
    int reading;           // percent of the prompt that are read, -1: not said
} openai_chunk_t;

// Reads one JSON object, or a list of which the first is one. Bytes that are no UTF-8 (a character
// cut in two by the server) come through in `text` as they are. Returns 0; -1 when it is no JSON
// object, then *why says what is wrong (static). Free with openai_chunk_free in any case.
int openai_chunk_read(openai_chunk_t *chunk, const char *data, size_t size, const char **why);
void openai_chunk_free(openai_chunk_t *chunk);

#endif
