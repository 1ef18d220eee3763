// keys: who may ask, and how often.
#include "keys.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"

enum {
    MAX_LINE = 4096,
    MAX_NAME = 64,
    MAX_KEY = 1024, // longer ones are not looked up
};

struct keys_caller {
    char *name;
    unsigned char hash[SHA256_DIGEST_LENGTH];
    char *rights;      // as they stand in the file; NULL: all
    char *collections; // name NUL name NUL NUL; NULL: all
    double rate;       // per second, 0: no limit
    double burst;      // tokens that the bucket holds
    double tokens;
    uint64_t filled_us;
    bool parted;   // there are callers with other rights
    bool operator; // sees what concerns other callers
    unsigned references;
};

typedef struct table {
    keys_caller_t **callers;
    size_t size;
} table_t;

struct keys {
    table_t table;
    bool needed;
    keys_caller_t *anonymous;
};

static void caller_free(keys_caller_t *self)
{
    free(self->name);
    free(self->rights);
    free(self->collections);
    free(self);
}

const keys_caller_t *keys_ref(const keys_caller_t *caller)
{
    ((keys_caller_t *)caller)->references++;
    return caller;
}

void keys_unref(const keys_caller_t **caller_p)
{
    keys_caller_t *caller = (keys_caller_t *)*caller_p;
    *caller_p = NULL;
    if (caller && --caller->references == 0)
        caller_free(caller);
}

static keys_caller_t *caller_new(const char *name)
{
    keys_caller_t *self = rl_new(*self);
    self->name = rl_strdup(name);
    self->references = 1;
    return self;
}

static void table_free(table_t *table)
{
    for (size_t at = 0; at < table->size; at++)
        keys_unref((const keys_caller_t **)&table->callers[at]);
    free(table->callers);
    *table = (table_t){0};
}

// ---- one line of the file -----------------------------------------------------------------------

static bool is_name(const char *word)
{
    size_t size = strlen(word);
    for (size_t at = 0; at < size; at++)
        if (!isalnum((unsigned char)word[at]) && !strchr("._-@", word[at]))
            return false;
    return size > 0 && size <= MAX_NAME;
}

static bool read_hash(const char *word, unsigned char *hash)
{
    if (strncmp(word, "sha256:", 7) != 0 || strlen(word + 7) != 2 * SHA256_DIGEST_LENGTH)
        return false;
    for (size_t at = 0; at < SHA256_DIGEST_LENGTH; at++) {
        char digits[3] = {word[7 + 2 * at], word[8 + 2 * at], '\0'};
        char *end;
        if (!isxdigit((unsigned char)digits[0]))
            return false;
        hash[at] = (unsigned char)strtoul(digits, &end, 16);
        if (*end)
            return false;
    }
    return true;
}

// "a,b" as "a\0b\0\0"; "*" stands for all.
static bool read_collections(const char *word, char **collections)
{
    free(*collections); // the last one counts
    *collections = NULL;
    if (strcmp(word, "*") == 0)
        return true;
    size_t size = strlen(word);
    if (size == 0 || *word == ',' || word[size - 1] == ',' || strstr(word, ",,"))
        return false;
    *collections = rl_alloc(size + 2);
    for (size_t at = 0; at < size; at++)
        (*collections)[at] = word[at] == ',' ? '\0' : word[at];
    return true;
}

// "N/s" or "N/min": the bucket holds what comes in one such period, at least one request.
static bool read_rate(const char *word, keys_caller_t *caller)
{
    char *end;
    double count = strtod(word, &end);
    bool minutes = strcmp(end, "/min") == 0;
    if (end == word || (strcmp(end, "/s") != 0 && !minutes) || !(count > 0) || count > 1e9)
        return false;
    caller->rate = minutes ? count / 60 : count;
    caller->burst = count > 1 ? count : 1;
    caller->tokens = caller->burst;
    return true;
}

// Returns NULL and what is wrong, in `why`.
static const char *read_option(char *word, keys_caller_t *caller)
{
    if (strncmp(word, "collections=", 12) == 0) {
        if (!read_collections(word + 12, &caller->collections))
            return "collections= must be names with commas between them, or *";
        free(caller->rights);
        caller->rights = caller->collections ? rl_strdup(word + 12) : NULL;
        return NULL;
    }
    if (strncmp(word, "rate=", 5) == 0)
        return read_rate(word + 5, caller) ? NULL : "rate= must be like 10/s or 100/min";
    if (strcmp(word, "operator") == 0) {
        caller->operator= true;
        return NULL;
    }
    return "only collections=, rate= and operator may follow the hash";
}

// Reads a line that is not empty; NULL and what is wrong, in *why.
static keys_caller_t *read_line(char *line, const char **why)
{
    char *rest = NULL;
    char *name = strtok_r(line, " \t", &rest);
    char *hash = strtok_r(NULL, " \t", &rest);
    keys_caller_t *caller = caller_new(name);
    *why = NULL;
    if (!is_name(name))
        *why = "a name has 1 to 64 letters, digits, or . _ - @";
    else if (!hash || !read_hash(hash, caller->hash))
        *why = "after the name comes sha256: and the key's SHA-256 in 64 hexadecimal digits";
    for (char *word = NULL; !*why && (word = strtok_r(NULL, " \t", &rest));)
        *why = read_option(word, caller);
    if (*why) {
        caller_free(caller);
        caller = NULL;
    }
    return caller;
}

// ---- the file -----------------------------------------------------------------------------------

static const char *add_caller(table_t *table, keys_caller_t *caller)
{
    for (size_t at = 0; at < table->size; at++) {
        if (strcmp(table->callers[at]->name, caller->name) == 0)
            return "this name is there already";
        if (memcmp(table->callers[at]->hash, caller->hash, sizeof caller->hash) == 0)
            return "this key is there already";
    }
    table->callers = rl_realloc(table->callers, table->size + 1, sizeof *table->callers);
    table->callers[table->size++] = caller;
    return NULL;
}

static const char *add_line(table_t *table, char *line)
{
    size_t size = strlen(line);
    if (size == MAX_LINE - 1 && line[size - 1] != '\n')
        return "the line is too long";
    line[strcspn(line, "\r\n#")] = '\0';
    if (!line[strspn(line, " \t")])
        return NULL;
    const char *why;
    keys_caller_t *caller = read_line(line, &why);
    if (!caller)
        return why;
    why = add_caller(table, caller);
    if (why)
        caller_free(caller);
    return why;
}

static int read_file(const char *file, table_t *table, char *why, size_t why_size)
{
    char line[MAX_LINE];
    FILE *in = fopen(file, "re");
    if (!in) {
        snprintf(why, why_size, "gateway.keys_file %s: %s", file, strerror(errno));
        return -1;
    }
    const char *wrong = NULL;
    for (int number = 1; !wrong && fgets(line, sizeof line, in); number++) {
        wrong = add_line(table, line);
        if (wrong)
            snprintf(why, why_size, "%s:%d: %s", file, number, wrong);
    }
    if (!wrong && ferror(in)) {
        wrong = strerror(errno);
        snprintf(why, why_size, "gateway.keys_file %s: %s", file, wrong);
    }
    fclose(in);
    OPENSSL_cleanse(line, sizeof line);
    if (!wrong)
        return 0;
    table_free(table);
    return -1;
}

// What a caller has used of its rate is kept over a reload.
static void carry_over(table_t *table, const table_t *old)
{
    for (size_t at = 0; at < table->size; at++)
        for (size_t was = 0; was < old->size; was++) {
            keys_caller_t *now = table->callers[at], *before = old->callers[was];
            if (memcmp(now->hash, before->hash, sizeof now->hash) != 0)
                continue;
            now->tokens = before->rate > 0 ? fmin(before->tokens, now->burst) : now->burst;
            now->filled_us = before->filled_us;
        }
}

static void note_rights(table_t *table)
{
    bool parted = false;
    for (size_t at = 1; at < table->size; at++)
        parted =
            parted || strcmp(keys_rights(table->callers[at]), keys_rights(table->callers[0])) != 0;
    for (size_t at = 0; at < table->size; at++)
        table->callers[at]->parted = parted;
}

int keys_reload(keys_t *self, const char *file, char *why, size_t why_size)
{
    table_t table = {0};
    bool needed = file && *file;
    if (needed && read_file(file, &table, why, why_size) != 0)
        return -1;
    carry_over(&table, &self->table);
    table_free(&self->table);
    self->table = table;
    note_rights(&self->table);
    self->needed = needed;
    return 0;
}

keys_t *keys_new(const char *file, char *why, size_t why_size)
{
    keys_t *self = rl_new(*self);
    self->anonymous = caller_new("anonymous");
    self->anonymous->operator= true; // where nobody needs a key
    if (keys_reload(self, file, why, why_size) != 0)
        keys_destroy(&self);
    return self;
}

void keys_destroy(keys_t **self_p)
{
    keys_t *self = *self_p;
    if (!self)
        return;
    table_free(&self->table);
    keys_unref((const keys_caller_t **)&self->anonymous);
    free(self);
    *self_p = NULL;
}

// ---- asking -------------------------------------------------------------------------------------

bool keys_needed(const keys_t *self)
{
    return self->needed;
}

const keys_caller_t *keys_find(keys_t *self, const char *key)
{
    unsigned char hash[SHA256_DIGEST_LENGTH];
    const keys_caller_t *found = NULL;
    size_t size = strlen(key);
    if (size == 0 || size > MAX_KEY)
        return NULL;
    SHA256((const unsigned char *)key, size, hash);
    // all of them are compared, so that the time does not tell which one it is
    for (size_t at = 0; at < self->table.size; at++)
        if (CRYPTO_memcmp(self->table.callers[at]->hash, hash, sizeof hash) == 0)
            found = self->table.callers[at];
    return found ? keys_ref(found) : NULL;
}

const keys_caller_t *keys_anonymous(keys_t *self)
{
    return keys_ref(self->anonymous);
}

const char *keys_name(const keys_caller_t *caller)
{
    return caller->name;
}

const char *keys_rights(const keys_caller_t *caller)
{
    return caller->rights ? caller->rights : "*";
}

bool keys_parted(const keys_caller_t *caller)
{
    return caller->parted;
}

bool keys_is_operator(const keys_caller_t *caller)
{
    return caller->operator;
}

bool keys_may_read(const keys_caller_t *caller, const char *collection)
{
    if (!caller->collections)
        return true;
    for (const char *at = caller->collections; *at; at += strlen(at) + 1)
        if (strcmp(at, collection) == 0)
            return true;
    return false;
}

long keys_take(const keys_caller_t *const_caller, uint64_t now_us)
{
    keys_caller_t *caller =
        (keys_caller_t *)const_caller; // the token bucket is no part of its identity
    if (caller->rate <= 0)
        return 0;
    double passed = now_us > caller->filled_us ? (double)(now_us - caller->filled_us) / 1e6 : 0;
    caller->tokens = fmin(caller->burst, caller->tokens + passed * caller->rate);
    caller->filled_us = now_us;
    if (caller->tokens >= 1) {
        caller->tokens -= 1;
        return 0;
    }
    return (long)ceil((1 - caller->tokens) / caller->rate);
}
