#include "citations.h"

#include <ctype.h>
#include <string.h>

#include "mem.h"
#include "request_private.h"

enum {
    MAX_CITATIONS = 4096,
    MAX_SENTENCE = 4096, // bytes that a sentence is looked back for
};

// Goes back over what may stand between a sentence's stop and the next one: white space, closing
// marks, and numbers in brackets that the model wrote itself.
static size_t before_marks(const char *text, size_t at)
{
    for (;;) {
        size_t from = at;
        while (at > 0 && strchr(" \t\n\"')*_", text[at - 1]))
            at--;
        if (at > 0 && text[at - 1] == ']') {
            size_t open = at - 1;
            while (open > 0 && strchr("0123456789, ", text[open - 1]))
                open--;
            if (open > 0 && open < at - 1 && text[open - 1] == '[')
                at = open - 1;
        }
        if (at == from)
            return at;
    }
}

// Where the sentence that has just ended begins, in code points; not before the one cited last.
static uint64_t sentence_start(const request_t *self)
{
    const answer_t *answer = &self->answer;
    const answer_citation_t *last =
        answer->citations_size > 0 ? &answer->citations[answer->citations_size - 1] : NULL;
    if (last && last->end == self->text_length)
        return last->start; // the same sentence, from one more passage
    uint64_t least = last ? last->end : 0, start = self->text_length;
    const char *text = answer->text.data;
    size_t size = answer->text.size, at = size, stop = before_marks(text, size);
    while (stop > 0 && strchr(".!?", text[stop - 1]))
        stop--;
    while (at > 0 && start > least && size - at < MAX_SENTENCE) {
        if (at < stop && isspace((unsigned char)text[at - 1])) {
            size_t before = before_marks(text, at);
            if (text[at - 1] == '\n' || (before > 0 && strchr(".!?", text[before - 1])))
                break;
        }
        at--;
        start -= ((unsigned char)text[at] & 0xc0) != 0x80;
    }
    for (; at < stop && isspace((unsigned char)text[at]); at++)
        start++;
    return start;
}

void citations_add(request_t *self, const rl_token_t *token)
{
    answer_t *answer = &self->answer;
    if (token->cite > answer->passages_size || answer->citations_size >= MAX_CITATIONS)
        return;
    uint64_t start = sentence_start(self);
    answer->citations =
        rl_realloc(answer->citations, answer->citations_size + 1, sizeof *answer->citations);
    answer_citation_t *citation = &answer->citations[answer->citations_size++];
    *citation = (answer_citation_t){.passage = token->cite,
                                    .start = start,
                                    .end = self->text_length,
                                    .score = token->cite_score};
    self->response->ops->cite(self->response, citation);
}
