// change_sync: makes a collection what a folder is: files that are new or have changed are read
// again, documents that differ from the index's are put, those that no file gives any more are
// deleted. The first time the index itself says what it has of the folder.
#include "change_private.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "clock.h"
#include "files.h"
#include "log_tailer.h"
#include "log.h"
#include "sync_state.h"

enum {
    AT_ONCE = 256, // passages read together
};

struct sync {
    sync_state_t *state;
    char *folder;      // as given, without slashes at its end
    const char *file;  // at work
    uint64_t problems; // of this file
    uint64_t before;   // problems of the listing
    uint64_t read, same, put, deleted;
    bool deleting, ended;
    struct event *next; // the next look at the folder
};

static void on_problem(void *arg, const char *where, const char *what)
{
    change_run_t *self = arg;
    self->problems++;
    self->sync->problems++;
    rl_warn("%s: %s", where, what);
}

// ---- what the index has of the folder -----------------------------------------------------------

typedef struct adopting {
    sync_t *sync;
    json_t *prints; // by document: {"file", "print"}: its passages may be in several shards
} adopting_t;

static int adopt_passage(adopting_t *self, const rl_passage_t *passage)
{
    size_t size = strlen(self->sync->folder);
    if (strncmp(passage->source, self->sync->folder, size) != 0 || passage->source[size] != '/')
        return 0;
    uint64_t print = change_fingerprint(passage);
    json_t *entry = json_object_get(self->prints, passage->doc);
    if (entry)
        print += (uint64_t)json_integer_value(json_object_get(entry, "print"));
    return json_object_set_new_nocheck(
        self->prints, passage->doc,
        json_pack("{s:s, s:I}", "file", passage->source + size + 1, "print", (json_int_t)print));
}

static int adopt_shard(adopting_t *self, const store_t *store, delta_t *delta, uint64_t shard,
                       char *why, size_t why_size)
{
    uint64_t ids[AT_ONCE], count = store_manifest(store)->shard_passages[shard], id = 1, end;
    rl_passage_t passages[AT_ONCE];
    int rc = 0;
    while (rc == 0 && id <= count) {
        size_t size = 0;
        void *memory = NULL;
        for (; size < AT_ONCE && id <= count; id++)
            if (!delta_is_dead(delta, id))
                ids[size++] = id;
        rc = store_passages(store, shard, ids, size, passages, &memory, why, why_size);
        for (size_t at = 0; rc == 0 && at < size; at++)
            rc = adopt_passage(self, &passages[at]);
        free(memory);
    }
    for (delta_ids(delta, &id, &end); rc == 0 && id < end; id++)
        if (delta_passage(delta, id))
            rc = adopt_passage(self, delta_passage(delta, id));
    return rc;
}

static bool all_shards(const void *arg, uint64_t shard)
{
    (void)arg, (void)shard;
    return true;
}

static int adopt(change_run_t *self, char *why, size_t why_size)
{
    const char *folder = change_target_folder(self->target);
    adopting_t adopting = {self->sync, json_object()};
    log_tailer_options_t all = {.serves = all_shards};
    bool gone = false;
    rl_fail(why, why_size, "out of memory");
    store_t *store = store_open(folder, false, why, why_size);
    log_tailer_t *live = store ? log_tailer_new(folder, store, &all, &gone, why, why_size) : NULL;
    int rc = live && adopting.prints ? 0 : -1;
    for (uint64_t shard = 0; rc == 0 && shard < store_manifest(store)->shards; shard++)
        rc = adopt_shard(&adopting, store, log_tailer_delta(live, shard), shard, why, why_size);
    const char *id;
    json_t *entry;
    json_object_foreach(adopting.prints, id, entry)
    {
        uint64_t print = (uint64_t)json_integer_value(json_object_get(entry, "print"));
        if (rc == 0)
            rc = sync_state_adopt(self->sync->state,
                                  json_string_value(json_object_get(entry, "file")), id, print);
    }
    json_decref(adopting.prints);
    log_tailer_destroy(&live);
    store_destroy(&store);
    return rc;
}

// ---- one look at the folder
// -----------------------------------------------------------------------

static bool has_changed(void *arg, const listed_t *file)
{
    change_run_t *self = arg;
    struct stat st;
    if (stat(file->path, &st) != 0)
        return true; // reading it will say what is wrong
    int64_t mtime = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
    return !sync_state_see(self->sync->state, file->name, (uint64_t)st.st_size, mtime);
}

static int begin_look(change_run_t *self, char *why, size_t why_size)
{
    sync_t *sync = self->sync;
    struct stat st;
    if (stat(sync->folder, &st) != 0 || !S_ISDIR(st.st_mode))
        return rl_fail(why, why_size, "%s: %s", sync->folder,
                       errno ? strerror(errno) : "is no folder");
    sync->state = sync_state_new(change_target_folder(self->target), sync->folder);
    if (!sync->state)
        return rl_fail(why, why_size, "out of memory");
    if (!sync_state_is_known(sync->state) && adopt(self, why, why_size) != 0)
        return -1;
    sync->problems = sync->read = sync->same = sync->put = sync->deleted = 0;
    sync->deleting = sync->ended = false;
    sync->file = NULL;
    self->listing = listing_new(on_problem, self);
    if (!self->listing || listing_add(self->listing, sync->folder) != 0)
        return rl_fail(why, why_size, "out of memory");
    listing_close(self->listing);
    listing_filter(self->listing, has_changed, self);
    sync->before = sync->problems;
    self->corpus = corpus_new(self->listing, on_problem, self);
    return self->corpus ? 0 : rl_fail(why, why_size, "out of memory");
}

static void end_look(change_run_t *self)
{
    change_files_close(self);
    sync_state_destroy(&self->sync->state);
}

// Problems so far were those of the file that was at work; `file` comes next.
static void next_file(change_run_t *self, uint64_t problems, const char *file)
{
    sync_t *sync = self->sync;
    if (sync->file && problems > sync->before)
        sync_state_keep(sync->state, sync->file); // what could not be read stays as it was
    sync->before = problems;
    sync->file = file;
}

static void take_document(change_run_t *self, document_t *doc)
{
    sync_t *sync = self->sync;
    const change_item_t *item = change_batch_put(self->batch, doc, 0);
    if (!item)
        abort();
    uint64_t print = 0;
    for (size_t at = 0; at < item->passages_size; at++)
        print += change_fingerprint(&item->passages[at]);
    sync->read++;
    sync->problems += item->why != NULL; // said when the batch is
    if (sync_state_document(sync->state, sync->file, doc->id, print) || item->why)
        return;
    sync->same++;
    change_batch_drop_last(self->batch);
}

static void read_files(change_run_t *self)
{
    sync_t *sync = self->sync;
    while (!change_batch_full(self->batch)) {
        document_t doc;
        uint64_t problems = sync->problems;
        corpus_next_t next = corpus_next(self->corpus, &doc);
        const char *file = corpus_file(self->corpus);
        if (file != sync->file)
            next_file(self, problems, file);
        if (next == CORPUS_END) {
            next_file(self, sync->problems, NULL);
            sync->deleting = true;
            return;
        }
        if (next == CORPUS_NOTHING)
            continue;
        if (next == CORPUS_BROKEN) {
            change_fail(self, corpus_why(self->corpus));
            return;
        }
        take_document(self, &doc);
        document_free(&doc);
    }
}

static bool delete_one(void *arg, const char *id)
{
    change_run_t *self = arg;
    if (change_batch_size(self->batch) == BATCH_ITEMS)
        return false;
    if (!change_batch_delete(self->batch, CHANGE_DELETE, id, 1))
        abort();
    return true;
}

// A folder without a file looks like one that is not mounted: it is no reason to delete everything.
static void delete_gone(change_run_t *self)
{
    sync_t *sync = self->sync;
    if (sync_state_files(sync->state) == 0 && sync_state_files_before(sync->state) > 0) {
        self->problems++;
        rl_warn("%s has no files: is it mounted? Nothing is deleted (--delete-source does)",
                sync->folder);
        sync->ended = true;
        return;
    }
    sync_state_gone(sync->state, delete_one, self);
    sync->ended = change_batch_size(self->batch) == 0;
}

static void on_next(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    change_again(arg);
}

static void finish_look(change_run_t *self)
{
    sync_t *sync = self->sync;
    char why[512];
    long period = rl_conf_int(self->conf, "index.sync_s");
    bool nothing = sync->put + sync->deleted == 0;
    if (sync_state_write(sync->state, why, sizeof why) != 0)
        rl_warn("%s (the next run reads everything again)", why);
    if (!nothing || period == 0) {
        printf("%s: %llu documents put, %llu deleted, %llu read and found the same (change %llu), "
               "%llu passages embedded; problems: %llu\n",
               sync->folder, (unsigned long long)sync->put, (unsigned long long)sync->deleted,
               (unsigned long long)sync->same, (unsigned long long)self->last,
               (unsigned long long)self->embedded,
               (unsigned long long)(self->problems + self->wrong));
        fflush(stdout);
    }
    end_look(self);
    if (period == 0 && ++self->arg == rl_conf_args(self->conf)) {
        change_end(self, change_status(self));
        return;
    }
    self->arg %= rl_conf_args(self->conf);
    if (period == 0) {
        change_again(self);
        return;
    }
    struct timeval wait = {period, 0};
    event_add(sync->next, &wait);
}

static int next_folder(change_run_t *self, char *why, size_t why_size)
{
    sync_t *sync = self->sync;
    free(sync->folder);
    sync->folder = strdup(rl_conf_arg(self->conf, self->arg));
    if (!sync->folder)
        return rl_fail(why, why_size, "out of memory");
    for (size_t size = strlen(sync->folder); size > 1 && sync->folder[size - 1] == '/';)
        sync->folder[--size] = '\0';
    errno = 0;
    return begin_look(self, why, why_size);
}

static void turn(change_run_t *self)
{
    char why[1024];
    if (!self->sync) {
        self->sync = calloc(1, sizeof *self->sync);
        if (self->sync)
            self->sync->next = event_new(rl_proc_base(self->proc), -1, 0, on_next, self);
        if (!self->sync || !self->sync->next) {
            change_fail(self, "out of memory");
            return;
        }
    }
    sync_t *sync = self->sync;
    if (!sync->state && next_folder(self, why, sizeof why) != 0) {
        change_fail(self, why);
        return;
    }
    if (!sync->deleting)
        read_files(self);
    if (self->ended)
        return;
    if (sync->deleting && change_batch_size(self->batch) == 0)
        delete_gone(self);
    if (change_batch_size(self->batch) > 0)
        change_commit(self);
    else if (sync->ended)
        finish_look(self);
    else
        change_again(self);
}

static void answered(change_run_t *self, const char *why)
{
    sync_t *sync = self->sync;
    for (size_t at = 0; !why && at < change_batch_size(self->batch); at++) {
        const change_item_t *item = change_batch_at(self->batch, at);
        if (item->why)
            rl_warn("%s: %s", item->name, item->why);
        else if (item->tag)
            sync->deleted++;
        else
            sync->put++;
    }
}

void change_sync_close(change_run_t *self)
{
    if (!self->sync)
        return;
    end_look(self);
    if (self->sync->next)
        event_free(self->sync->next);
    free(self->sync->folder);
    free(self->sync);
    self->sync = NULL;
}

const change_mode_t change_sync = {"sync", true, turn, answered};
