// reader_frame: documents as bytes, of which none has failed.

#include "reader_frame.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "utf8.h"

enum {
    STRINGS = 5,
    MAX_STRING = 64 << 10,
    MAX_VECTOR = 1 << 20,
};

typedef struct document_head {
    uint32_t strings[STRINGS]; // lengths and 1; 0: NULL
    uint32_t unused;
    uint64_t text, blocks, vector, repaired;
} document_head_t;

typedef struct block_wire {
    uint32_t kind, level;
    uint64_t start, end;
} block_wire_t;

int reader_frame_encode(const document_t *doc, rl_buf_t *out)
{
    const char *strings[STRINGS] = {doc->id, doc->title, doc->source, doc->meta, doc->note};
    document_head_t head = {.text = doc->text.size,
                            .blocks = doc->blocks_size,
                            .vector = doc->vector_size,
                            .repaired = doc->repaired};
    for (size_t at = 0; at < STRINGS; at++)
        head.strings[at] = strings[at] ? (uint32_t)strlen(strings[at]) + 1 : 0;
    rl_buf_add(out, &head, sizeof head);
    for (size_t at = 0; at < STRINGS; at++)
        if (strings[at])
            rl_buf_add(out, strings[at], head.strings[at]);
    if (head.text > 0)
        rl_buf_add(out, doc->text.data, doc->text.size);
    for (size_t at = 0; at < doc->blocks_size; at++) {
        const block_t *block = &doc->blocks[at];
        block_wire_t wire = {(uint32_t)block->kind, (uint32_t)block->level, block->start,
                             block->end};
        rl_buf_add(out, &wire, sizeof wire);
    }
    if (head.vector > 0)
        rl_buf_add(out, doc->vector, doc->vector_size * sizeof *doc->vector);
    return out->full ? -1 : 0;
}

// The next bytes of the body; NULL if there are not so many.
static const char *take_bytes(const char **at, size_t *left, size_t size)
{
    const char *bytes = *at;
    if (size > *left)
        return NULL;
    *at += size;
    *left -= size;
    return bytes;
}

static bool is_text(const char *text, size_t size)
{
    return rl_utf8_valid(text, size) && !memchr(text, '\0', size);
}

static int decode_strings(const document_head_t *head, const char **at, size_t *left,
                          document_t *doc)
{
    char **fields[STRINGS] = {&doc->id, &doc->title, &doc->source, &doc->meta, &doc->note};
    static const size_t most[STRINGS] = {DOC_MAX_ID, DOC_MAX_TITLE, MAX_STRING, DOC_MAX_META,
                                         MAX_STRING};
    for (size_t i = 0; i < STRINGS; i++) {
        size_t size = head->strings[i];
        if (size == 0)
            continue;
        const char *bytes = take_bytes(at, left, size);
        if (size - 1 > most[i] || !bytes || bytes[size - 1] != '\0' || !is_text(bytes, size - 1))
            return -1;
        free(*fields[i]);
        *fields[i] = rl_strdup(bytes);
    }
    return doc->meta[0] && doc->meta[0] != '{' ? -1 : 0;
}

// Whether the block is within the text, behind the one before, and cuts no character.
static bool block_fits(const document_t *doc, const block_wire_t *wire, size_t before)
{
    return wire->kind <= BLOCK_LINES && wire->level <= 6 && wire->start >= before &&
           wire->start < wire->end && wire->end <= doc->text.size &&
           ((unsigned char)doc->text.data[wire->start] & 0xc0) != 0x80 &&
           (wire->end == doc->text.size ||
            ((unsigned char)doc->text.data[wire->end] & 0xc0) != 0x80);
}

static int decode_blocks(const document_head_t *head, const char *bytes, document_t *doc)
{
    size_t before = 0;
    if (head->blocks == 0)
        return 0;
    doc->blocks = malloc(head->blocks * sizeof *doc->blocks);
    if (!doc->blocks)
        return -1;
    doc->blocks_room = head->blocks;
    for (; doc->blocks_size < head->blocks; doc->blocks_size++) {
        block_wire_t wire;
        memcpy(&wire, bytes + doc->blocks_size * sizeof wire, sizeof wire);
        if (!block_fits(doc, &wire, before))
            return -1;
        doc->blocks[doc->blocks_size] = (block_t){.kind = (block_kind_t)wire.kind,
                                                  .level = (int)wire.level,
                                                  .start = wire.start,
                                                  .end = wire.end};
        before = wire.end;
    }
    return 0;
}

static int decode_vector(const document_head_t *head, const char *bytes, document_t *doc)
{
    if (head->vector == 0)
        return 0;
    doc->vector = rl_alloc_array(head->vector, sizeof *doc->vector);
    memcpy(doc->vector, bytes, head->vector * sizeof *doc->vector);
    doc->vector_size = head->vector;
    for (size_t at = 0; at < head->vector; at++)
        if (!isfinite(doc->vector[at]))
            return -1;
    return 0;
}

static int decode_parts(const char *body, size_t size, document_t *doc)
{
    document_head_t head;
    const char *bytes = take_bytes(&body, &size, sizeof head);
    if (!bytes)
        return -1;
    memcpy(&head, bytes, sizeof head);
    if (decode_strings(&head, &body, &size, doc) != 0 || head.text > DOC_MAX_TEXT ||
        head.vector > MAX_VECTOR || head.blocks > size / sizeof(block_wire_t))
        return -1;
    doc->repaired = head.repaired;
    bytes = take_bytes(&body, &size, head.text);
    if (!bytes || !is_text(bytes, head.text) ||
        (head.text > 0 && rl_buf_add(&doc->text, bytes, head.text) != 0))
        return -1;
    bytes = take_bytes(&body, &size, head.blocks * sizeof(block_wire_t));
    if (!bytes || decode_blocks(&head, bytes, doc) != 0)
        return -1;
    bytes = take_bytes(&body, &size, head.vector * sizeof(float));
    return bytes && size == 0 ? decode_vector(&head, bytes, doc) : -1;
}

int reader_frame_decode(const char *body, size_t size, document_t *doc)
{
    document_init(doc);
    int rc = decode_parts(body, size, doc);
    if (rc != 0)
        document_free(doc);
    return rc;
}
