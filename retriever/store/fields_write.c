// fields_write: the metadata of a build's passages, sorted into fields.bin of each shard.
#include "fields_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "field_types.h"
#include "files.h"
#include "hash.h"
#include "mem.h"
#include "sorter.h"

const char *const fields_types[FIELDS_TYPES] = {"boolean", "number", "string", "text"};
const char fields_magic[8] = "RLFLDS01";

enum {
    SORT_ROOM = 64 << 20, // bytes
    SLOTS = 4 * FIELDS_MAX,
    HEAD = 7, // of a record: shard, field, type, so that their order is that of the file
    TAIL = 4, // and behind the value: the passage
};

struct fields_writer {
    sorter_t *sorter;
    char *names[FIELDS_MAX];
    size_t names_size;
    uint16_t slots[SLOTS]; // by hash: number of a name + 1
    uint64_t left_out;
};

fields_writer_t *fields_writer_new(const char *folder)
{
    fields_writer_t *self = rl_new(*self);
    self->sorter = sorter_new(folder, SORT_ROOM);
    return self;
}

void fields_writer_destroy(fields_writer_t **self_p)
{
    fields_writer_t *self = *self_p;
    if (!self)
        return;
    for (size_t at = 0; at < self->names_size; at++)
        free(self->names[at]);
    sorter_destroy(&self->sorter);
    free(self);
    *self_p = NULL;
}

// ---- adding -------------------------------------------------------------------------------------

typedef struct adding {
    fields_writer_t *writer;
    uint64_t shard, id;
    char *why;
    size_t why_size;
} adding_t;

// The field's number; -1 if it cannot be kept.
static int number_of(fields_writer_t *self, const char *name)
{
    size_t size = strlen(name);
    if (size == 0 || size > RL_FILTER_MAX_FIELD)
        return -1;
    size_t slot = rl_hash64(name, size) % SLOTS;
    for (; self->slots[slot]; slot = (slot + 1) % SLOTS)
        if (strcmp(self->names[self->slots[slot] - 1], name) == 0)
            return self->slots[slot] - 1;
    if (self->names_size == FIELDS_MAX) {
        self->left_out++;
        return -1;
    }
    self->names[self->names_size++] = rl_strdup(name);
    self->slots[slot] = (uint16_t)self->names_size;
    return (int)self->names_size - 1;
}

static size_t put_number(uint8_t *out, uint64_t number, size_t bytes)
{
    for (size_t at = 0; at < bytes; at++)
        out[at] = (uint8_t)(number >> 8 * (bytes - 1 - at));
    return bytes;
}

static uint64_t take_number(const uint8_t *in, size_t bytes)
{
    uint64_t number = 0;
    for (size_t at = 0; at < bytes; at++)
        number = number << 8 | in[at];
    return number;
}

// Bytes of a double whose order is that of the numbers, and back.
static uint64_t ordered(double number)
{
    uint64_t bits, sign = UINT64_C(1) << 63;
    number += 0.0; // there is one zero
    memcpy(&bits, &number, sizeof bits);
    return bits & sign ? ~bits : bits | sign;
}

static uint64_t double_bits(uint64_t order)
{
    uint64_t sign = UINT64_C(1) << 63;
    return order & sign ? order & ~sign : ~order;
}

static int add_value(void *arg, const char *name, const json_t *value)
{
    adding_t *adding = arg;
    uint8_t record[HEAD + RL_FILTER_MAX_STRING + 1 + TAIL];
    int field = number_of(adding->writer, name);
    if (field < 0)
        return 0;
    size_t size = put_number(record, adding->shard, 4);
    size += put_number(record + size, (uint64_t)field, 2);
    size_t length = json_string_length(value);
    if (json_is_boolean(value)) {
        record[size++] = RL_FILTER_BOOLEAN;
        record[size++] = json_is_true(value);
    } else if (json_is_number(value)) {
        record[size++] = RL_FILTER_NUMBER;
        size += put_number(record + size, ordered(json_number_value(value)), 8);
    } else if (length <= RL_FILTER_MAX_STRING && strlen(json_string_value(value)) == length) {
        record[size++] = RL_FILTER_STRING;
        memcpy(record + size, json_string_value(value), length + 1);
        size += length + 1;
    } else {
        record[size++] = FIELDS_TEXT;
    }
    size += put_number(record + size, adding->id - 1, TAIL);
    return sorter_add(adding->writer->sorter, record, size, adding->why, adding->why_size);
}

int fields_writer_add(fields_writer_t *self, uint64_t shard, uint64_t id,
                      const rl_passage_t *passage, char *why, size_t why_size)
{
    adding_t adding = {self, shard, id, why, why_size};
    return fields_each(passage, add_value, &adding);
}

// ---- writing ------------------------------------------------------------------------------------

// One shard's file under way.
typedef struct output {
    fields_writer_t *writer;
    FILE *file, *values, *strings; // ids go into the file, the others behind them in the end
    fields_head_t head;
    json_t *columns, *column;                               // all, and the one at work
    json_t *types;                                          // of the whole build
    uint8_t record[HEAD + RL_FILTER_MAX_STRING + 1 + TAIL]; // the last one
    size_t size;                                            // of it without the passage
    uint32_t last;                                          // its passage
    bool good;
} output_t;

static void write_bytes(output_t *self, FILE *file, const void *data, size_t size)
{
    if (self->good && size > 0 && fwrite(data, size, 1, file) != 1)
        self->good = false;
}

static void put_value(output_t *self, uint64_t what)
{
    fields_value_t value = {self->head.ids, what};
    write_bytes(self, self->values, &value, sizeof value);
    self->head.values++;
}

static void end_column(output_t *self)
{
    if (!self->column)
        return;
    uint64_t at = (uint64_t)json_integer_value(json_object_get(self->column, "at"));
    json_object_set_new(self->column, "values", json_integer((json_int_t)(self->head.values - at)));
    put_value(self, self->head.strings);
    self->column = NULL;
}

static void begin_column(output_t *self, const uint8_t *record)
{
    end_column(self);
    const char *name = self->writer->names[take_number(record + 4, 2)];
    const char *type = fields_types[record[6]];
    self->column = json_pack("{s:s, s:s, s:I}", "field", name, "type", type, "at",
                             (json_int_t)self->head.values);
    json_array_append_new(self->columns, self->column);
    field_types_merge(self->types, name, type);
}

static void begin_value(output_t *self, const uint8_t *record, size_t size)
{
    if (record[6] == RL_FILTER_STRING) {
        put_value(self, self->head.strings);
        write_bytes(self, self->strings, record + HEAD, size - HEAD - 1);
        self->head.strings += size - HEAD - 1;
    } else if (record[6] == RL_FILTER_NUMBER) {
        put_value(self, double_bits(take_number(record + HEAD, 8)));
    } else {
        double number = record[6] == RL_FILTER_BOOLEAN ? record[HEAD] : 0;
        put_value(self, double_bits(ordered(number)));
    }
}

static void take_record(output_t *self, const uint8_t *record, size_t size)
{
    size -= TAIL;
    uint32_t passage = (uint32_t)take_number(record + size, TAIL);
    bool same = size == self->size && memcmp(record, self->record, size) == 0;
    if (same && passage == self->last)
        return; // a value that is there twice
    if (self->size == 0 || memcmp(record, self->record, HEAD) != 0)
        begin_column(self, record);
    if (!same)
        begin_value(self, record, size);
    write_bytes(self, self->file, &passage, sizeof passage);
    self->head.ids++;
    memcpy(self->record, record, size);
    self->size = size;
    self->last = passage;
}

static void append_file(output_t *self, FILE *from)
{
    char block[1 << 16];
    size_t got;
    if (fflush(from) != 0 || fseeko(from, 0, SEEK_SET) != 0)
        self->good = false;
    while (self->good && (got = fread(block, 1, sizeof block, from)) > 0)
        write_bytes(self, self->file, block, got);
    if (ferror(from))
        self->good = false;
}

static void end_file(output_t *self)
{
    static const uint32_t filler = 0;
    end_column(self);
    if (self->head.ids % 2)
        write_bytes(self, self->file, &filler, sizeof filler);
    append_file(self, self->values);
    append_file(self, self->strings);
    char *columns = rl_must(json_dumps(self->columns, JSON_COMPACT));
    self->head.columns = strlen(columns);
    write_bytes(self, self->file, columns, self->head.columns);
    free(columns);
    if (self->good && fseeko(self->file, 0, SEEK_SET) != 0)
        self->good = false;
    write_bytes(self, self->file, &self->head, sizeof self->head);
}

// A file that is gone when it is closed.
static FILE *open_beside(const char *folder, const char *name)
{
    char path[FILE_PATH_MAX];
    FILE *file = path_format(path, "%s/%s", folder, name) == 0 ? fopen(path, "w+be") : NULL;
    if (file)
        unlink(path);
    return file;
}

static bool open_output(output_t *self, const char *path, const char *folder)
{
    self->good = true;
    self->columns = rl_must(json_array());
    self->file = fopen(path, "wbe");
    self->values = open_beside(folder, "fields.values");
    self->strings = open_beside(folder, "fields.strings");
    memcpy(self->head.magic, fields_magic, sizeof fields_magic);
    if (!self->file || !self->values || !self->strings)
        return false;
    write_bytes(self, self->file, &self->head, sizeof self->head);
    return true;
}

static void close_output(output_t *self)
{
    if (self->file && fclose(self->file) != 0)
        self->good = false;
    if (self->values)
        fclose(self->values);
    if (self->strings)
        fclose(self->strings);
    json_decref(self->columns);
}

// Writes one shard's file from the records at hand: *record is the next one that is not its own.
static int write_shard(fields_writer_t *self, uint64_t shard, uint64_t count, const char *folder,
                       const uint8_t **record, size_t *size, json_t *types, char *why,
                       size_t why_size)
{
    char path[FILE_PATH_MAX];
    int rc = 1;
    if (path_format(path, "%s/" FIELDS_FILE, folder) != 0)
        return rl_fail(why, why_size, "%s: the path is too long", folder);
    output_t *output = rl_new(*output);
    output->writer = self;
    output->types = types;
    output->head.passages = count;
    output->head.left_out = self->left_out;
    bool good = open_output(output, path, folder);
    while (good && output->good && rc > 0 && *record && take_number(*record, 4) == shard) {
        take_record(output, *record, *size);
        rc = sorter_next(self->sorter, record, size, why, why_size);
        if (rc <= 0)
            *record = NULL;
    }
    if (good && rc >= 0)
        end_file(output);
    good = good && output->good;
    close_output(output);
    good = good && output->good;
    free(output);
    if (rc < 0)
        return -1;
    return good ? 0 : rl_fail(why, why_size, "%s: cannot write: %s", path, strerror(errno));
}

int fields_writer_finish(fields_writer_t *self, uint64_t shards, const uint64_t *counts,
                         fields_folder_fn *folder_of, void *arg, json_t **types, char *why,
                         size_t why_size)
{
    const uint8_t *record = NULL;
    size_t size = 0;
    *types = rl_must(json_object());
    int rc = sorter_sort(self->sorter, why, why_size);
    if (rc == 0)
        rc = sorter_next(self->sorter, &record, &size, why, why_size);
    if (rc <= 0)
        record = NULL;
    for (uint64_t shard = 0; rc >= 0 && shard < shards; shard++)
        rc = write_shard(self, shard, counts[shard], folder_of(arg, shard), &record, &size, *types,
                         why, why_size);
    if (rc < 0) {
        json_decref(*types);
        *types = NULL;
    }
    return rc < 0 ? -1 : 0;
}

uint64_t fields_writer_left_out(const fields_writer_t *self)
{
    return self->left_out;
}
