// document_cut: chunks of a document become passages.
#include "document_cut.h"

#include <string.h>

#include "store.h"

// What the chunker's callback needs.
typedef struct cutter {
    const document_t *doc;
    document_passage_fn *fn;
    void *arg;
    rl_buf_t text; // of the passage at work
} cutter_t;

static int cut_passage(void *arg, const chunk_t *chunk)
{
    cutter_t *self = arg;
    const document_t *doc = self->doc;
    rl_buf_clear(&self->text);
    if (rl_buf_add(&self->text, doc->text.data + chunk->start, chunk->end - chunk->start) != 0)
        return -1;
    rl_passage_t passage = {.doc = doc->id ? doc->id : "",
                            .title = doc->title,
                            .heading = chunk->heading,
                            .source = doc->source ? doc->source : "",
                            .text = self->text.data,
                            .meta = doc->meta,
                            .start = chunk->start,
                            .end = chunk->end,
                            .hash = store_text_hash(self->text.data, self->text.size)};
    return self->fn(self->arg, &passage);
}

int document_cut(const document_t *doc, const chunk_rules_t *rules, document_passage_fn *fn,
                 void *arg)
{
    cutter_t cutter = {doc, fn, arg, rl_buf_make(DOC_MAX_TEXT)};
    chunk_t whole = {
        .start = doc->blocks[0].start, .end = doc->blocks[doc->blocks_size - 1].end, .heading = ""};
    int rc =
        rules ? chunk_document(doc, rules, cut_passage, &cutter) : cut_passage(&cutter, &whole);
    rl_buf_free(&cutter.text);
    return rc;
}

int document_embedded(const chunk_rules_t *rules, const rl_passage_t *passage, rl_buf_t *out)
{
    rl_buf_clear(out);
    return chunk_embedded(rules, passage->title, passage->heading, passage->text,
                          strlen(passage->text), out);
}
