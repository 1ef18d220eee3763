// sync_state: one transaction of LMDB for a pass over a folder; what it changes is in force when it
// is written, or not at all. A pass over a folder where nothing has changed writes nothing.
#include "sync_state.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "files.h"
#include "hash.h"
#include "mem.h"
#include "vector_cache.h"

enum {
    DIGITS = 16,     // of a checksum
    READ_AGAIN = -1, // as the time of a file's change: no file has this one
    SEEN = 1,        // marks of a file: it is there,
    READ = 2,        // and what it gives in this pass is all that it gives
};

// Names of files and ids of documents are looked up by their hashes (LMDB's keys have 511 bytes).
enum {
    HEAD,      // "head": head_t
    FILES,     // name: file_t, and behind it the name
    GIVEN,     // given_key_t: the pass in which the file gave the document
    DOCUMENTS, // id: document_t, and behind it the id
    GONE,      // the same, of documents that no file gives; empty between passes
    TABLES,
};

static const char *const table_names[TABLES] = {"head", "files", "given", "documents", "gone"};
static const size_t map_size = (size_t)64 << 30; // of addresses; the file grows as it is filled

typedef struct head {
    uint64_t passes;
    uint64_t numbers; // of files, none used twice
} head_t;

typedef struct file {
    uint64_t number, size;
    int64_t mtime_ns;
} file_t;

typedef struct given_key {
    uint64_t number;
    vector_key_t id;
} given_key_t;

typedef struct document {
    rl_hash128_t fingerprint;
    uint64_t files; // that give it
} document_t;

struct sync_state {
    char path[FILE_PATH_MAX], sum_path[FILE_PATH_MAX];
    char old_path[FILE_PATH_MAX]; // of an earlier version, up to its dot
    int sum;                      // the file with the checksum
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi tables[TABLES];
    head_t head;
    bool known, changed, swept;
    int rc;         // the first that was not 0: nothing is written then
    uint8_t *marks; // by a file's number
    uint64_t marks_size, seen;
};

// ---- tables -------------------------------------------------------------------------------------

static vector_key_t key_of(const char *name)
{
    return vector_key("", name, strlen(name));
}

#define VAL(key) ((MDB_val){sizeof *(key), (void *)(key)})

static bool note_rc(sync_state_t *self, int rc)
{
    if (self->rc == 0 && rc != MDB_NOTFOUND)
        self->rc = rc;
    return rc == 0 && self->rc == 0;
}

// Reads a value that begins with `size` bytes; what is behind them is in *rest, if it is wanted.
static bool get_value(sync_state_t *self, size_t table, MDB_val key, void *out, size_t size,
                      MDB_val *rest)
{
    MDB_val value;
    if (!note_rc(self, mdb_get(self->txn, self->tables[table], &key, &value)))
        return false;
    memcpy(out, value.mv_data, size);
    if (rest)
        *rest = (MDB_val){value.mv_size - size, (char *)value.mv_data + size};
    return true;
}

static void put_value(sync_state_t *self, size_t table, MDB_val key, const void *data, size_t size,
                      const char *rest)
{
    MDB_val value = {size + strlen(rest), NULL};
    self->changed = true;
    if (!note_rc(self, mdb_put(self->txn, self->tables[table], &key, &value, MDB_RESERVE)))
        return;
    memcpy(value.mv_data, data, size);
    memcpy((char *)value.mv_data + size, rest, value.mv_size - size);
}

static MDB_cursor *open_cursor(sync_state_t *self, size_t table)
{
    MDB_cursor *cursor = NULL;
    note_rc(self, mdb_cursor_open(self->txn, self->tables[table], &cursor));
    return cursor;
}

// False at the end.
static bool move_cursor(sync_state_t *self, MDB_cursor *cursor, MDB_val *key, MDB_val *value,
                        MDB_cursor_op op)
{
    return cursor && note_rc(self, mdb_cursor_get(cursor, key, value, op));
}

static void delete_at(sync_state_t *self, MDB_cursor *cursor)
{
    self->changed = true;
    note_rc(self, mdb_cursor_del(cursor, 0));
}

static void close_cursor(MDB_cursor *cursor)
{
    if (cursor)
        mdb_cursor_close(cursor);
}

// ---- opening and writing ------------------------------------------------------------------------

// The file's checksum as text; empty if it cannot be read.
static void sum_file(const sync_state_t *self, char text[DIGITS + 1])
{
    uint64_t size, checksum;
    *text = '\0';
    if (file_checksum(self->path, NULL, &size, &checksum) == 0)
        snprintf(text, DIGITS + 1, "%016" PRIx64, checksum);
}

static int lock_state(sync_state_t *self, bool *busy, char *why, size_t why_size)
{
    self->sum = open(self->sum_path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (self->sum >= 0 && flock(self->sum, LOCK_EX | LOCK_NB) == 0)
        return 0;
    *busy = self->sum >= 0 && errno == EWOULDBLOCK;
    return rl_fail(why, why_size, "%s: %s", self->sum_path,
                   *busy ? "another ragline-index --sync synchronises this folder"
                         : strerror(errno));
}

static int open_tables(sync_state_t *self, char *why, size_t why_size)
{
    char text[DIGITS + 1] = "", now[DIGITS + 1];
    sum_file(self, now);
    if (pread(self->sum, text, DIGITS, 0) != DIGITS || strcmp(text, now) != 0)
        unlink(self->path);
    if (note_rc(self, mdb_env_create(&self->env)) &&
        note_rc(self, mdb_env_set_mapsize(self->env, map_size)) &&
        note_rc(self, mdb_env_set_maxdbs(self->env, TABLES)) && // the lock is ours
        note_rc(self, mdb_env_open(self->env, self->path, MDB_NOSUBDIR | MDB_NOLOCK, 0644)))
        note_rc(self, mdb_txn_begin(self->env, NULL, 0, &self->txn));
    for (size_t at = 0; self->rc == 0 && at < TABLES; at++)
        note_rc(self, mdb_dbi_open(self->txn, table_names[at], MDB_CREATE, &self->tables[at]));
    if (self->rc != 0)
        return rl_fail(why, why_size, "%s: %s", self->path, mdb_strerror(self->rc));
    self->known = get_value(self, HEAD, VAL(&"head"), &self->head, sizeof self->head, NULL);
    self->head.passes++;
    return 0;
}

sync_state_t *sync_state_open(const char *folder, const char *from, bool *busy, char *why,
                              size_t why_size)
{
    sync_state_t *self = rl_new(*self);
    char path[FILE_PATH_MAX];
    size_t size = strlen(from);
    rl_hash128_t hash = rl_hash128(from, size);
    int rc = 0;
    *busy = false;
    self->sum = -1;
    if (path_format(path, "%s/sync", folder) != 0 || (mkdir(path, 0755) != 0 && errno != EEXIST) ||
        path_format(self->path, "%s/%016" PRIx64 "%016" PRIx64 ".mdb", path, hash.high, hash.low) ||
        path_format(self->sum_path, "%s/%016" PRIx64 "%016" PRIx64 ".sum", path, hash.high,
                    hash.low) ||
        path_format(self->old_path, "%s/%016" PRIx64, path, rl_hash64(from, size)) != 0)
        rc = rl_fail(why, why_size, "%s/sync: cannot make the folder: %s", folder, strerror(errno));
    if (rc != 0 || lock_state(self, busy, why, why_size) != 0 ||
        open_tables(self, why, why_size) != 0)
        sync_state_close(&self);
    return self;
}

void sync_state_close(sync_state_t **self_p)
{
    sync_state_t *self = *self_p;
    if (!self)
        return;
    if (self->txn)
        mdb_txn_abort(self->txn);
    if (self->env)
        mdb_env_close(self->env);
    if (self->sum >= 0)
        close(self->sum);
    free(self->marks);
    free(self);
    *self_p = NULL;
}

bool sync_state_is_known(const sync_state_t *self)
{
    return self->known;
}

// Only of a file that is whole: one whose writing failed keeps its old checksum, which is wrong.
static void write_sum(sync_state_t *self)
{
    char text[DIGITS + 1] = ""; // stays, where a build has dropped the file meanwhile
    sum_file(self, text);
    errno = EIO;
    if (pwrite(self->sum, text, DIGITS, 0) != DIGITS || fsync(self->sum) != 0)
        note_rc(self, errno);
    static const char *const old[] = {"json", "mdb", "sum"};
    for (size_t at = 0; at < sizeof old / sizeof *old; at++) {
        char *path = rl_format("%s.%s", self->old_path, old[at]);
        unlink(path);
        free(path);
    }
}

int sync_state_write(sync_state_t *self, char *why, size_t why_size)
{
    if (self->rc == 0 && !self->changed && self->known)
        return 0;
    put_value(self, HEAD, VAL(&"head"), &self->head, sizeof self->head, "");
    if (self->rc == 0) {
        note_rc(self, mdb_txn_commit(self->txn));
        self->txn = NULL;
    }
    if (self->rc == 0)
        write_sum(self);
    return self->rc == 0
               ? 0
               : rl_fail(why, why_size, "%s: cannot write: %s", self->path, mdb_strerror(self->rc));
}

// ---- a pass over the folder
// -----------------------------------------------------------------------

// What is known of a file; where nothing is, false and a new number.
static bool get_file(sync_state_t *self, const char *name, file_t *file)
{
    vector_key_t key = key_of(name);
    if (get_value(self, FILES, VAL(&key), file, sizeof *file, NULL))
        return true;
    *file = (file_t){.number = ++self->head.numbers, .mtime_ns = READ_AGAIN};
    return false;
}

static void put_file(sync_state_t *self, const char *name, const file_t *file)
{
    vector_key_t key = key_of(name);
    put_value(self, FILES, VAL(&key), file, sizeof *file, name);
}

static unsigned marks_of(const sync_state_t *self, uint64_t number)
{
    return number < self->marks_size ? self->marks[number] : 0;
}

static void mark_file(sync_state_t *self, uint64_t number, unsigned marks)
{
    if (number >= self->marks_size) {
        uint64_t size = 2 * number + 64;
        self->marks = rl_realloc(self->marks, size, 1);
        memset(self->marks + self->marks_size, 0, size - self->marks_size);
        self->marks_size = size;
    }
    self->seen += !self->marks[number];
    self->marks[number] = (uint8_t)marks;
}

bool sync_state_see(sync_state_t *self, const char *name, uint64_t size, int64_t mtime_ns)
{
    file_t file;
    bool same = get_file(self, name, &file) && file.size == size && file.mtime_ns == mtime_ns;
    mark_file(self, file.number, same ? SEEN : SEEN | READ);
    if (!same)
        put_file(self, name, &(file_t){file.number, size, mtime_ns});
    return same;
}

void sync_state_keep(sync_state_t *self, const char *name)
{
    file_t file;
    if (!get_file(self, name, &file))
        return;
    mark_file(self, file.number, SEEN);
    file.mtime_ns = READ_AGAIN;
    put_file(self, name, &file);
}

void sync_state_keep_below(sync_state_t *self, const char *name)
{
    size_t size = strlen(name);
    char **kept = NULL;
    size_t kept_size = 0;
    MDB_cursor *cursor = open_cursor(self, FILES);
    MDB_val key, value;
    while (move_cursor(self, cursor, &key, &value, MDB_NEXT)) {
        const char *file = (char *)value.mv_data + sizeof(file_t);
        size_t length = value.mv_size - sizeof(file_t);
        if (size > 0 && (length < size || memcmp(file, name, size) != 0 ||
                         (length > size && file[size] != '/')))
            continue;
        kept = rl_realloc(kept, kept_size + 1, sizeof *kept); // what is written moves what is read
        kept[kept_size++] = rl_strndup(file, length);
    }
    close_cursor(cursor);
    for (size_t at = 0; at < kept_size; at++) {
        sync_state_keep(self, kept[at]);
        free(kept[at]);
    }
    free(kept);
}

// Notes that the file gave the document in a pass.
static void note_given(sync_state_t *self, uint64_t number, const char *id, uint64_t pass,
                       const document_t *before, rl_hash128_t fingerprint)
{
    given_key_t key = {number, key_of(id)};
    uint64_t last;
    bool again = get_value(self, GIVEN, VAL(&key), &last, sizeof last, NULL);
    document_t document = {fingerprint, before->files + !again};
    put_value(self, GIVEN, VAL(&key), &pass, sizeof pass, "");
    put_value(self, DOCUMENTS, VAL(&key.id), &document, sizeof document, id);
}

void sync_state_adopt(sync_state_t *self, const char *name, const char *id,
                      rl_hash128_t fingerprint)
{
    vector_key_t key = key_of(id);
    document_t before = {0};
    file_t file;
    if (!get_file(self, name, &file))
        put_file(self, name, &file);
    get_value(self, DOCUMENTS, VAL(&key), &before, sizeof before, NULL);
    fingerprint.low += before.fingerprint.low;
    fingerprint.high += before.fingerprint.high;
    note_given(self, file.number, id, 0, &before, fingerprint);
}

bool sync_state_document(sync_state_t *self, const char *name, const char *id,
                         rl_hash128_t fingerprint)
{
    vector_key_t key = key_of(id);
    document_t before = {0};
    file_t file;
    if (!get_file(self, name, &file) || !marks_of(self, file.number)) { // it could not be seen
        file.mtime_ns = READ_AGAIN;
        put_file(self, name, &file);
        mark_file(self, file.number, SEEN | READ);
    }
    get_value(self, DOCUMENTS, VAL(&key), &before, sizeof before, NULL);
    note_given(self, file.number, id, self->head.passes, &before, fingerprint);
    return before.files == 0 || memcmp(&before.fingerprint, &fingerprint, sizeof fingerprint) != 0;
}

// ---- what is gone -------------------------------------------------------------------------------

// One file less gives the document.
static void release_document(sync_state_t *self, vector_key_t key)
{
    document_t document;
    MDB_val at = VAL(&key), rest;
    if (!get_value(self, DOCUMENTS, at, &document, sizeof document, &rest))
        return;
    char *id = rl_strndup(rest.mv_data, rest.mv_size); // what is written moves what was read
    document.files--;
    put_value(self, document.files > 0 ? DOCUMENTS : GONE, at, &document, sizeof document, id);
    if (document.files == 0)
        note_rc(self, mdb_del(self->txn, self->tables[DOCUMENTS], &at, NULL));
    free(id);
}

// Forgets what a file gave; with `stale` only what it did not give in this pass.
static void forget_given(sync_state_t *self, uint64_t number, bool stale)
{
    given_key_t first = {.number = number};
    MDB_cursor *cursor = open_cursor(self, GIVEN);
    MDB_val key = VAL(&first), value;
    for (bool more = move_cursor(self, cursor, &key, &value, MDB_SET_RANGE); more;
         more = move_cursor(self, cursor, &key, &value, MDB_NEXT)) {
        given_key_t given;
        uint64_t pass;
        memcpy(&given, key.mv_data, sizeof given);
        memcpy(&pass, value.mv_data, sizeof pass);
        if (given.number != number)
            break;
        if (stale && pass == self->head.passes)
            continue;
        release_document(self, given.id);
        delete_at(self, cursor);
    }
    close_cursor(cursor);
}

static void find_gone(sync_state_t *self)
{
    MDB_cursor *cursor = open_cursor(self, FILES);
    MDB_val key, value;
    while (move_cursor(self, cursor, &key, &value, MDB_NEXT)) {
        file_t file;
        memcpy(&file, value.mv_data, sizeof file);
        unsigned marks = marks_of(self, file.number);
        if (marks != SEEN)
            forget_given(self, file.number, marks & SEEN);
        if (!marks)
            delete_at(self, cursor);
    }
    close_cursor(cursor);
    self->swept = true;
}

void sync_state_gone(sync_state_t *self, bool (*fn)(void *arg, const char *id), void *arg)
{
    if (!self->swept)
        find_gone(self);
    MDB_cursor *cursor = open_cursor(self, GONE);
    MDB_val key, value;
    bool more = true;
    while (more && move_cursor(self, cursor, &key, &value, MDB_NEXT)) {
        char *id = rl_strndup((char *)value.mv_data + sizeof(document_t),
                              value.mv_size - sizeof(document_t));
        more = fn(arg, id);
        free(id);
        if (more)
            delete_at(self, cursor);
    }
    close_cursor(cursor);
}

bool sync_state_lost_all(const sync_state_t *self)
{
    MDB_stat files = {0};
    mdb_stat(self->txn, self->tables[FILES], &files);
    return self->seen == 0 && files.ms_entries > 0;
}
