// dump: groups and lists of values, as one JSON document or as lines of the log.
#include "dump.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "json_write.h"
#include "log.h"
#include "mem.h"
#include "utf8.h"

enum {
    RECORD_BYTES = RL_LOG_DATA - 8, // of one group or item, so that it fits a line of the log
    TEXT_BYTES = 200,
    TAIL_BYTES = 8192, // kept for the end of the document
    NAMES = 16,        // lists of which something is left out
};

struct rl_dump {
    bool to_log;
    rl_buf_t document;
    rl_buf_t record; // the group or item at hand
    const char *name;
    const char *request;
    bool in_list, cut;
    size_t items, size; // of the list at hand: written, and to be written
    size_t left_size;
    struct {
        const char *name;
        size_t count;
    } left[NAMES];
};

rl_dump_t *rl_dump_new(bool to_log)
{
    rl_dump_t *self = rl_new(*self);
    self->to_log = to_log;
    self->document = rl_buf_make(RL_DUMP_BYTES);
    self->record = rl_buf_make(RECORD_BYTES);
    rl_buf_adds(&self->document, "{");
    return self;
}

static void begin_record(rl_dump_t *self, const char *request)
{
    self->request = request;
    self->cut = false;
    rl_buf_clear(&self->record);
    self->record.full = false;
    rl_buf_adds(&self->record, "{");
}

void rl_dump_begin(rl_dump_t *self, const char *name)
{
    self->name = name;
    begin_record(self, NULL);
}

void rl_dump_end(rl_dump_t *self)
{
    rl_buf_t *record = &self->record;
    record->max += 64; // what closes it always fits
    if (self->cut)
        rl_buf_addf(record, "%s\"cut\":true", record->size > 1 ? "," : "");
    rl_buf_adds(record, "}");
    record->max -= 64;
    if (self->to_log) {
        char message[64];
        snprintf(message, sizeof message, "dump %s", self->name);
        rl_log_data(self->request, message, record->data);
        return;
    }
    if (!self->in_list && self->document.size + record->size + TAIL_BYTES > RL_DUMP_BYTES)
        return;
    rl_json_name(&self->document, self->in_list ? NULL : self->name);
    rl_buf_add(&self->document, record->data, record->size);
}

void rl_dump_list(rl_dump_t *self, const char *name, size_t size)
{
    self->name = name;
    self->in_list = true;
    self->items = 0;
    self->size = size;
    rl_json_open(&self->document, name, '[');
}

bool rl_dump_item(rl_dump_t *self, const char *request)
{
    size_t most = self->to_log ? RL_DUMP_LINES : RL_DUMP_ITEMS;
    if (self->items == most || self->document.size + RECORD_BYTES + TAIL_BYTES > RL_DUMP_BYTES)
        return false;
    self->items++;
    begin_record(self, request);
    rl_dump_text(self, "id", request);
    return true;
}

void rl_dump_list_end(rl_dump_t *self)
{
    rl_buf_adds(&self->document, "]");
    self->in_list = false;
    if (self->items < self->size && self->left_size < NAMES) {
        self->left[self->left_size].name = self->name;
        self->left[self->left_size++].count = self->size - self->items;
    }
}

// ---- values -----------------------------------------------------------------------------------

// What does not fit is left out as a whole.
static void keep_or_drop(rl_dump_t *self, size_t before)
{
    rl_buf_t *record = &self->record;
    if (!record->full)
        return;
    record->size = before;
    record->data[before] = '\0';
    record->full = false;
    self->cut = true;
}

void rl_dump_number(rl_dump_t *self, const char *name, uint64_t value)
{
    size_t before = self->record.size;
    rl_json_count(&self->record, name, value);
    keep_or_drop(self, before);
}

void rl_dump_ms(rl_dump_t *self, const char *name, uint64_t us)
{
    size_t before = self->record.size;
    rl_json_ms(&self->record, name, us);
    keep_or_drop(self, before);
}

void rl_dump_flag(rl_dump_t *self, const char *name, bool value)
{
    size_t before = self->record.size;
    rl_json_flag(&self->record, name, value);
    keep_or_drop(self, before);
}

void rl_dump_text(rl_dump_t *self, const char *name, const char *text)
{
    if (!text || !*text)
        return;
    size_t before = self->record.size, size = strnlen(text, TEXT_BYTES + 1);
    if (size > TEXT_BYTES)
        size = rl_utf8_whole(text, TEXT_BYTES);
    if (rl_utf8_valid(text, size)) {
        rl_json_bytes(&self->record, name, text, size);
    } else {
        size_t repaired_size = 0;
        char *repaired = rl_utf8_repair(text, size, &repaired_size);
        rl_json_bytes(&self->record, name, repaired, repaired_size);
        free(repaired);
    }
    keep_or_drop(self, before);
}

// ---- the end ----------------------------------------------------------------------------------

char *rl_dump_finish(rl_dump_t **self_p, size_t *size)
{
    rl_dump_t *self = *self_p;
    rl_dump_begin(self, "left_out");
    for (size_t at = 0; at < self->left_size; at++)
        rl_dump_number(self, self->left[at].name, self->left[at].count);
    if (self->left_size > 0)
        rl_dump_end(self);
    char *document = NULL;
    *size = 0;
    if (!self->to_log) {
        rl_buf_adds(&self->document, "}\n");
        *size = self->document.size;
        document = rl_buf_take(&self->document);
    }
    rl_buf_free(&self->document);
    rl_buf_free(&self->record);
    free(self);
    *self_p = NULL;
    return document;
}
