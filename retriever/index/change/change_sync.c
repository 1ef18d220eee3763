// change_sync: makes a collection what a folder is: files that are new or have changed are read
// again, documents that differ from the index's are put, those that no file gives any more are
// deleted. The first time, what the index has of the folder is read from the index.
#include "change_run.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "clock.h"
#include "fail.h"
#include "generation_passages.h"
#include "log.h"
#include "mem.h"
#include "sync_state.h"

struct change_sync {
    sync_state_t *state;
    char *folder; // as given, without slashes at its end
    char *path;   // absolute
    const roots_t *roots;
    const char *file; // at work
    uint64_t before;  // faults that the report had when it came
    bool wrong;       // a document of it cannot be put
    uint64_t read, same, put, deleted;
    bool deleting, ended;
    bool waiting;       // for another process that synchronises the folder
    struct event *next; // the next pass over the folder
};

// ---- what the index has of the folder -----------------------------------------------------------

static int adopt_passage(void *arg, uint64_t shard, uint64_t passage_id, bool added,
                         const rl_passage_t *passage)
{
    change_sync_t *self = arg;
    (void)shard, (void)passage_id, (void)added;
    const char *name = roots_below(passage->source, self->folder);
    char *path = !name && self->roots ? roots_locate(self->roots, passage->source) : NULL;
    if (path) // the build may have named the folder in another way
        name = roots_below(path, self->path);
    if (name)
        sync_state_adopt(self->state, name, passage->doc, change_fingerprint(passage));
    free(path);
    return 0;
}

static int adopt_shard(void *arg, const store_t *store, delta_t *delta, uint64_t shard, char *why,
                       size_t why_size)
{
    return generation_passages_each(store, delta, shard, adopt_passage, arg, why, why_size);
}

// Notes the documents of the collection that came from the folder.
static int adopt_documents(change_run_t *self, char *why, size_t why_size)
{
    return generation_shards_each(self->target->folder, adopt_shard, self->sync, why, why_size);
}

// ---- one pass over the folder -------------------------------------------------------------------

static bool has_changed(void *arg, const listed_t *file)
{
    change_run_t *self = arg;
    struct stat st;
    if (stat(file->path, &st) != 0)
        return true; // reading it will say what is wrong
    int64_t mtime = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
    return !sync_state_see(self->sync->state, file->name, (uint64_t)st.st_size, mtime);
}

// Returns 0, 1 with `why` if another process synchronises the folder now, or -1 with `why`.
static int begin_pass(change_run_t *self, char *why, size_t why_size)
{
    change_sync_t *sync = self->sync;
    struct stat st;
    bool busy;
    if (stat(sync->folder, &st) != 0 || !S_ISDIR(st.st_mode))
        return rl_fail(why, why_size, "%s: %s", sync->folder,
                       errno ? strerror(errno) : "is no folder");
    sync->state = sync_state_open(self->target->folder, sync->folder, &busy, why, why_size);
    if (!sync->state)
        return busy ? 1 : -1;
    if (!sync_state_is_known(sync->state) && adopt_documents(self, why, why_size) != 0)
        return -1;
    sync->read = sync->same = sync->put = sync->deleted = 0;
    sync->deleting = sync->ended = sync->waiting = false;
    sync->file = NULL;
    self->listing = listing_new(self->report);
    listing_configure(self->listing, self->conf);
    listing_add(self->listing, sync->folder);
    listing_close(self->listing);
    listing_filter(self->listing, has_changed, self);
    for (size_t at = 0; listing_failed(self->listing, at); at++)
        sync_state_keep_below(sync->state, listing_failed(self->listing, at));
    sync->before = report_faults(self->report);
    sync->wrong = false;
    self->corpus = corpus_new(self->listing, self->target->roots, self->report);
    corpus_configure(self->corpus, self->conf);
    return 0;
}

static void end_pass(change_run_t *self)
{
    change_files_close(self);
    sync_state_close(&self->sync->state);
}

// Faults so far were those of the file that was at work; `file` comes next.
static void next_file(change_run_t *self, uint64_t faults, const char *file)
{
    change_sync_t *sync = self->sync;
    if (sync->file && (faults > sync->before || sync->wrong))
        sync_state_keep(sync->state, sync->file); // what could not be read stays as it was
    sync->before = faults;
    sync->wrong = false;
    sync->file = file;
}

static void take_document(change_run_t *self, document_t *doc)
{
    change_sync_t *sync = self->sync;
    const change_item_t *item = change_batch_put(self->batch, doc, 0);
    rl_hash128_t print = {0, 0};
    for (size_t at = 0; at < item->passages_size; at++) {
        rl_hash128_t share = change_fingerprint(&item->passages[at]);
        print.low += share.low;
        print.high += share.high;
    }
    sync->read++;
    sync->wrong |= item->why != NULL; // reported when the batch is
    if (sync_state_document(sync->state, sync->file, doc->id, print) || item->why)
        return;
    sync->same++;
    change_batch_drop_last(self->batch);
}

// Returns whether the turn is over before the batch is full or the folder at its end.
static bool read_files(change_run_t *self)
{
    change_sync_t *sync = self->sync;
    uint64_t until = rl_now_us() + CHANGE_TURN_US;
    while (!change_batch_full(self->batch)) {
        if (rl_now_us() > until)
            return true;
        document_t doc;
        uint64_t faults = report_faults(self->report);
        corpus_next_t next = corpus_next(self->corpus, &doc);
        const char *file = corpus_file(self->corpus);
        if (file != sync->file)
            next_file(self, faults, file);
        if (next == CORPUS_END) {
            next_file(self, report_faults(self->report), NULL);
            sync->deleting = true;
            return false;
        }
        if (next == CORPUS_NOTHING)
            continue;
        if (next == CORPUS_BROKEN) {
            change_run_fail(self, corpus_why(self->corpus));
            return false;
        }
        take_document(self, &doc);
        document_free(&doc);
    }
    return false;
}

static bool delete_one(void *arg, const char *id)
{
    change_run_t *self = arg;
    if (change_batch_size(self->batch) == CHANGE_BATCH_ITEMS)
        return false;
    change_batch_delete(self->batch, CHANGE_DELETE, id, 1);
    return true;
}

// A folder without files may be one that is not mounted, so then nothing is deleted.
static void delete_gone(change_run_t *self)
{
    change_sync_t *sync = self->sync;
    if (sync_state_lost_all(sync->state)) {
        report_add(self->report, REPORT_LIST_FAILED, REPORT_KEPT, sync->folder, 0,
                   "has no files: is it mounted? Nothing is deleted (--delete-source does)");
        sync->ended = true;
        return;
    }
    sync_state_gone(sync->state, delete_one, self);
    sync->ended = change_batch_size(self->batch) == 0;
}

static void on_next(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what;
    change_run_schedule(arg);
}

static void finish_pass(change_run_t *self)
{
    change_sync_t *sync = self->sync;
    char why[512];
    long period = rl_conf_int(self->conf, "index.sync_s");
    bool nothing = sync->put + sync->deleted == 0;
    if (sync_state_write(sync->state, why, sizeof why) != 0)
        rl_warn("%s (the next run reads everything again)", why);
    if (!nothing || period == 0) {
        printf("%s: %" PRIu64 " documents put, %" PRIu64 " deleted, %" PRIu64
               " read and found the same (change %" PRIu64 "), %" PRIu64
               " passages embedded; not wholly in the index: %" PRIu64 "\n",
               sync->folder, sync->put, sync->deleted, sync->same, self->last, self->embedded,
               report_faults(self->report));
        fflush(stdout);
    }
    end_pass(self);
    if (period == 0 && ++self->arg == rl_conf_args(self->conf)) {
        change_run_end(self, change_run_status(self));
        return;
    }
    if (period > 0)
        self->arg = (self->arg + 1) % rl_conf_args(self->conf);
    if (self->arg > 0) {
        change_run_schedule(self);
        return;
    }
    change_run_status(self); // says what this round could not read
    struct timeval wait = {period, 0};
    event_add(sync->next, &wait);
}

static int next_folder(change_run_t *self, char *why, size_t why_size)
{
    change_sync_t *sync = self->sync;
    free(sync->folder);
    if (self->arg == 0)
        report_restart(self->report); // each round over the folders has a report of its own
    sync->folder = rl_strdup(rl_conf_arg(self->conf, self->arg));
    for (size_t size = strlen(sync->folder); size > 1 && sync->folder[size - 1] == '/';)
        sync->folder[--size] = '\0';
    free(sync->path);
    sync->path = roots_absolute(sync->folder);
    sync->roots = self->target->roots;
    errno = 0;
    return begin_pass(self, why, why_size);
}

static void wait_for_other(change_run_t *self, const char *why)
{
    struct timeval wait = {1, 0};
    if (!self->sync->waiting)
        rl_info("%s; waiting for it", why);
    self->sync->waiting = true;
    event_add(self->sync->next, &wait);
}

static void sync_folders(change_run_t *self)
{
    char why[1024];
    if (!self->sync) {
        self->sync = rl_new(*self->sync);
        self->sync->next = rl_must(event_new(rl_proc_base(self->proc), -1, 0, on_next, self));
        report_keep(self->report);
    }
    change_sync_t *sync = self->sync;
    int rc = sync->state ? 0 : next_folder(self, why, sizeof why);
    if (rc > 0)
        wait_for_other(self, why);
    else if (rc < 0)
        change_run_fail(self, why);
    if (rc != 0)
        return;
    if (!sync->deleting && read_files(self)) {
        change_run_schedule(self);
        return;
    }
    if (self->ended)
        return;
    if (sync->deleting && change_batch_size(self->batch) == 0)
        delete_gone(self);
    if (change_batch_size(self->batch) > 0)
        change_run_commit(self);
    else if (sync->ended)
        finish_pass(self);
    else
        change_run_schedule(self);
}

static void on_answered(change_run_t *self, const char *why)
{
    if (why)
        return;
    uint64_t faults = report_faults(self->report);
    change_run_report_wrong(self);
    self->sync->before += report_faults(self->report) - faults; // not of the file at work
    for (size_t at = 0; at < change_batch_size(self->batch); at++) {
        const change_item_t *item = change_batch_at(self->batch, at);
        if (!item->why && item->tag)
            self->sync->deleted++;
        else if (!item->why)
            self->sync->put++;
    }
}

void change_sync_close(change_run_t *self)
{
    if (!self->sync)
        return;
    end_pass(self);
    event_free(self->sync->next);
    free(self->sync->folder);
    free(self->sync->path);
    free(self->sync);
    self->sync = NULL;
}

const change_mode_t change_sync_mode = {"sync", true, sync_folders, on_answered};
