// kind: the kinds of retrieval that a question can ask for.
#ifndef KIND_H
#define KIND_H

typedef enum kind {
    KIND_DENSE,
    KIND_LEXICAL,
    KINDS, // their number
} kind_t;
extern const char *const kind_names[KINDS]; // "dense", "lexical"

// The kind of this name, −1 if there is none; NULL is none.
int kind_from_name(const char *name);

#endif
