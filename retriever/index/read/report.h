// report: what of the documents is not wholly in the index, each named with its reason: in a file
// as JSON lines (index.report), on the terminal the first REPORT_SAID and then a count by reason.
// What is left out on purpose is counted only, and is no fault.
//
//   {"document": "notes/a.md", "reason": "encoding", "detail": "12 bytes are not UTF-8",
//    "outcome": "in part"}                           and "line" for a line of a JSONL file
#ifndef REPORT_H
#define REPORT_H

#include <stddef.h>
#include <stdint.h>

enum {
    REPORT_SAID = 20, // documents named on the terminal in a pass
};

// Why; report.c has the code and the words of each.
typedef enum report_reason {
    REPORT_UNREADABLE,  // it cannot be opened, listed, or read to its end
    REPORT_FORMAT,      // of a kind that is not read: PDF, Office, an image
    REPORT_ENCODING,    // not UTF-8
    REPORT_DAMAGED,     // not what its name or beginning says: broken gzip, no JSON
    REPORT_FIELD,       // a field of it cannot be used
    REPORT_NOT_READ,    // parts that its format does not understand
    REPORT_TOO_LARGE,   // larger than what is read, or making more text than that
    REPORT_ID_TAKEN,    // another document has its id
    REPORT_VECTOR,      // its vector cannot be used
    REPORT_EMBEDDING,   // a text that has no vector: found by words only
    REPORT_LINK,        // a link to nothing, or out of the folder
    REPORT_CRASH,       // its reader crashed
    REPORT_TIME_LIMIT,  // its reader took too long
    REPORT_MEMORY,      // its reader took too much memory
    REPORT_ENCRYPTED,   // cannot be read without its password
    REPORT_SCANNED,     // images of text
    REPORT_PROBLEM,     // anything else, which the detail says
    REPORT_LIST_FAILED, // a folder of which not all is known
    // left out on purpose, counted by report_skip
    REPORT_SKIPPED, // by index.skip
    REPORT_HIDDEN,  // its name begins with a dot
    REPORT_JUNK,    // editors' backups, folders of version control
    REPORT_PROGRAM, // style sheets, scripts, data of programs
    REPORT_EMPTY,   // no text in it
    REPORT_REASONS,
} report_reason_t;

typedef enum report_outcome {
    REPORT_LEFT_OUT,
    REPORT_IN_PART,
    REPORT_KEPT, // the index has what it had of it before
} report_outcome_t;

typedef struct report report_t;

// `path`: the file of JSON lines, begun anew; "" for none. NULL with `why` if it cannot be made.
report_t *report_new(const char *path, char *why, size_t why_size);
void report_destroy(report_t **self_p);

// Called before something is written to the terminal.
typedef void(report_before_fn)(void *arg);
void report_on_terminal(report_t *self, report_before_fn *before, void *arg);

// From now on what would be left out is left as it was: the run keeps what the index has of it.
void report_keep(report_t *self);

// Names a document (its path, or id) or, where `line` is not 0, a line of it. From one thread.
void report_add(report_t *self, report_reason_t reason, report_outcome_t outcome,
                const char *document, uint64_t line, const char *detail);

// Counts something that is left out on purpose.
void report_skip(report_t *self, report_reason_t reason);

// Entries of report_add in this pass, all of them or of one reason.
uint64_t report_faults(const report_t *self);
uint64_t report_count(const report_t *self, report_reason_t reason);

// Ends a pass: says the count by reason, and has the file written. Returns 0, or -1 with `why` if
// the file could not be written.
int report_finish(report_t *self, char *why, size_t why_size);

// Begins the next pass: the file anew, counts at 0. What was said in an earlier pass is not said
// again, only counted.
void report_restart(report_t *self);

#endif
