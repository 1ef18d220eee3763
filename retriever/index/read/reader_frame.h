// reader_frame: what a reader, a child process, says of a document to its parent: a head of fixed
// size, then so many bytes. The parent takes nothing in it for granted.
#ifndef READER_FRAME_H
#define READER_FRAME_H

#include "document.h"
#include "report.h"

typedef enum reader_outcome {
    READER_DOCUMENT, // the body is a document
    READER_FAILURE,  // the body says why, `reason` is its code
    READER_EMPTY,    // no text in it
    READER_BEGIN,    // a file of lines begins
    READER_BLANK,    // lines up to this one hold no document
    READER_END,      // a file of lines has ended
} reader_outcome_t;

enum {
    READER_NO_FORMAT = 0xff, // it is of no format that is read
};

typedef struct reader_frame {
    uint32_t outcome;
    uint32_t reason;    // report_reason_t
    uint32_t format;    // place in the table of formats
    uint32_t sandboxed; // whether the reader is filtered
    uint64_t line;      // 0: the file is one document
    uint64_t read;      // bytes of the file that are done
    uint64_t size;      // of the body
} reader_frame_t;

// The document as a body, appended. Returns 0, or -1 when it does not fit.
int reader_frame_encode(const document_t *doc, rl_buf_t *out);

// The other way: fills *doc (not initialised before). Returns 0, or -1 if it is not what a
// document can be: lengths, UTF-8, blocks in order within the text.
int reader_frame_decode(const char *body, size_t size, document_t *doc);

#endif
