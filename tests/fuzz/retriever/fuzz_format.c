// A file of any format: text, blocks and passages that lie within it.
#include "chunker.h"
#include "format.h"
#include "format_html.h"
#include "scratch.h"
#include "utf8.h"

#include <stdlib.h>
#include <string.h>

typedef struct cut {
    const document_t *doc;
    size_t end, passages;
} cut_t;

static int on_chunk(void *arg, const chunk_t *chunk)
{
    cut_t *cut = arg;
    const rl_buf_t *text = &cut->doc->text;
    if (chunk->start >= chunk->end || chunk->end > text->size || !chunk->heading)
        abort();
    if (!rl_utf8_valid(text->data + chunk->start, chunk->end - chunk->start))
        abort(); // cut within a character
    if (strlen(chunk->heading) > CHUNK_MAX_HEADING ||
        !rl_utf8_valid(chunk->heading, strlen(chunk->heading)))
        abort();
    cut->passages++;
    return 0;
}

static void check(const document_t *doc)
{
    size_t end = 0;
    for (size_t at = 0; at < doc->blocks_size; at++) {
        const block_t *block = &doc->blocks[at];
        if (block->start < end || block->start >= block->end || block->end > doc->text.size)
            abort();
        end = block->end;
    }
    const chunk_rules_t rules = {
        .words = 20, .overlap = 5, .max_tokens = CHUNK_LEAST, .prefix = ""};
    cut_t cut = {.doc = doc};
    if (chunk_document(doc, &rules, on_chunk, &cut) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    // of manual pages what mandoc has made; its own process is not what is tested here
    static const format_t manual = {.read = format_html_manual};
    static const format_t *const formats[] = {
        &format_markdown, &format_plain, &format_html, &manual, &format_jsonl,
    };
    if (size == 0)
        return 0;
    const format_t *format = formats[data[0] % 5];
    size_t text_size;
    char *text = rl_utf8_repair((const char *)data + 1, size - 1, &text_size);
    if (!text)
        abort();
    document_t doc;
    document_init(&doc);
    char why[512] = "";
    if (format->read(text, text_size, &doc, why, sizeof why) == 0) {
        if (!doc.failed)
            check(&doc);
    } else if (!*why) {
        abort();
    }
    document_free(&doc);
    free(text);
    return 0;
}
