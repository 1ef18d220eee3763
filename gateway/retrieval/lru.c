// lru: a hash table (czmq's) of entries that also stand in a list, in the order of their last use.
#include "lru.h"

#include <czmq.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "hex.h"
#include "mem.h"

typedef struct entry {
    char *key;
    void *value;
    size_t cost;
    uint64_t put_us;
    TAILQ_ENTRY(entry) used;
} entry_t;

struct lru {
    zhashx_t *table;
    TAILQ_HEAD(entry_list, entry) order; // used last: first
    size_t most;
    uint64_t age_us;
    lru_free_fn *free_fn;
    lru_counts_t counts;
};

lru_t *lru_new(size_t most, uint64_t age_us, lru_free_fn *free_fn)
{
    lru_t *self = rl_new(*self);
    *self =
        (lru_t){.table = rl_must(zhashx_new()), .most = most, .age_us = age_us, .free_fn = free_fn};
    TAILQ_INIT(&self->order);
    // the keys are the entries' own
    zhashx_set_key_duplicator(self->table, NULL);
    zhashx_set_key_destructor(self->table, NULL);
    return self;
}

static void remove_entry(lru_t *self, entry_t *entry)
{
    zhashx_delete(self->table, entry->key);
    TAILQ_REMOVE(&self->order, entry, used);
    self->counts.size--;
    self->counts.cost -= entry->cost;
    self->free_fn(entry->value);
    free(entry->key);
    free(entry);
}

static void drop_oldest(lru_t *self)
{
    while (self->counts.cost > self->most) {
        remove_entry(self, TAILQ_LAST(&self->order, entry_list));
        self->counts.dropped++;
    }
}

void lru_destroy(lru_t **self_p)
{
    lru_t *self = *self_p;
    if (!self)
        return;
    lru_clear(self);
    zhashx_destroy(&self->table);
    free(self);
    *self_p = NULL;
}

void lru_resize(lru_t *self, size_t most, uint64_t age_us)
{
    self->most = most;
    self->age_us = age_us;
    drop_oldest(self);
}

bool lru_is_on(const lru_t *self)
{
    return self->most > 0;
}

void lru_clear(lru_t *self)
{
    while (!TAILQ_EMPTY(&self->order))
        remove_entry(self, TAILQ_FIRST(&self->order));
}

static bool is_too_old(const lru_t *self, const entry_t *entry, uint64_t now_us)
{
    return now_us > entry->put_us && now_us - entry->put_us > self->age_us;
}

void *lru_find(lru_t *self, const char *key, uint64_t now_us)
{
    entry_t *entry = self->most > 0 ? zhashx_lookup(self->table, key) : NULL;
    if (entry && is_too_old(self, entry, now_us)) {
        remove_entry(self, entry);
        self->counts.dropped++;
        entry = NULL;
    }
    if (!entry) {
        self->counts.misses++;
        return NULL;
    }
    self->counts.hits++;
    TAILQ_REMOVE(&self->order, entry, used);
    TAILQ_INSERT_HEAD(&self->order, entry, used);
    return entry->value;
}

void lru_put(lru_t *self, const char *key, void *value, size_t cost, uint64_t now_us)
{
    lru_drop(self, key);
    if (cost > self->most || self->most == 0) {
        self->free_fn(value);
        return;
    }
    entry_t *entry = rl_new(*entry);
    *entry = (entry_t){.key = rl_strdup(key), .value = value, .cost = cost, .put_us = now_us};
    zhashx_insert(self->table, entry->key, entry); // the key is not there: it was dropped
    TAILQ_INSERT_HEAD(&self->order, entry, used);
    self->counts.size++;
    self->counts.cost += cost;
    drop_oldest(self);
}

void lru_drop(lru_t *self, const char *key)
{
    entry_t *entry = zhashx_lookup(self->table, key);
    if (entry)
        remove_entry(self, entry);
}

void lru_renew(lru_t *self, const char *key, size_t cost, uint64_t now_us)
{
    entry_t *entry = zhashx_lookup(self->table, key);
    if (!entry)
        return;
    self->counts.cost += cost - entry->cost;
    entry->cost = cost;
    entry->put_us = now_us;
    TAILQ_REMOVE(&self->order, entry, used);
    TAILQ_INSERT_HEAD(&self->order, entry, used);
    drop_oldest(self);
}

void lru_each(lru_t *self, uint64_t now_us, bool (*fn)(void *arg, void *value), void *arg)
{
    entry_t *entry;
    TAILQ_FOREACH(entry, &self->order, used)
    {
        if (!is_too_old(self, entry, now_us) && !fn(arg, entry->value))
            return;
    }
}

const lru_counts_t *lru_counts(const lru_t *self)
{
    return &self->counts;
}

// ---- keys ---------------------------------------------------------------------------------------

// SHA-256 of OpenSSL fails only for want of memory.
static void check_digest(int result)
{
    if (result != 1)
        rl_out_of_memory();
}

// OpenSSL looks up the algorithm at every SHA256(); here it is looked up once a process.
static EVP_MD_CTX *key_digest(void)
{
    static EVP_MD_CTX *context;
    if (!context) {
        context = rl_must(EVP_MD_CTX_new());
        check_digest(EVP_DigestInit_ex(context, EVP_sha256(), NULL));
    }
    return context;
}

void lru_key_begin(void)
{
    check_digest(EVP_DigestInit_ex(key_digest(), NULL, NULL));
}

static void add_bytes(const void *data, size_t size)
{
    check_digest(EVP_DigestUpdate(key_digest(), data, size));
}

void lru_key_number(double number)
{
    add_bytes(&number, sizeof number);
}

void lru_key_text(const char *text)
{
    uint64_t size = strlen(text); // so that parts cannot run into each other
    add_bytes(&size, sizeof size);
    add_bytes(text, size);
}

void lru_key_end(char out[LRU_KEY])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    check_digest(EVP_DigestFinal_ex(key_digest(), digest, NULL));
    rl_hex(out, digest, (LRU_KEY - 1) / 2);
}

void lru_key(char out[LRU_KEY], const char *const *parts, size_t size)
{
    lru_key_begin();
    for (size_t at = 0; at < size; at++)
        lru_key_text(parts[at]);
    lru_key_end(out);
}
