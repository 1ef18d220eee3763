// certs: CURVE certificates and the folder of those that are allowed.
#include "certs.h"

#include <czmq.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fail.h"
#include "hash.h"
#include "log.h"
#include "mem.h"

enum {
    MAX_ALLOWED = 65536, // certificates in the folder
    MAX_CERT = 65536,    // bytes of a certificate's file
    PATH = 4096,
};

bool rl_key_is_valid(const char *text)
{
    uint8_t key[RL_KEY_BYTES];
    return strlen(text) == RL_KEY - 1 && zmq_z85_decode(key, text) != NULL;
}

// A certificate's file as text, for free(); NULL with what is wrong.
static char *load_file(const char *file, char *why, size_t why_size)
{
    struct stat stat_of;
    FILE *in = stat(file, &stat_of) == 0 ? fopen(file, "r") : NULL;
    if (!in) {
        snprintf(why, why_size, "%s: %s", file, strerror(errno));
        return NULL;
    }
    char *text = rl_alloc(MAX_CERT + 1);
    if (!S_ISREG(stat_of.st_mode) || fread(text, 1, MAX_CERT + 1, in) > MAX_CERT) {
        rl_fail(why, why_size, "%s: is not a certificate", file);
        free(text);
        text = NULL;
    }
    fclose(in);
    return text;
}

// The line `NAME = "KEY"`. Read here, not by zconfig, which prints a line that it does not
// understand, and it may be one with a secret; nor by zcert_load, which takes a key that is wrong
// for one of all zeros.
static int read_key(const char *text, const char *name, const char *file, char key[RL_KEY],
                    char *why, size_t why_size)
{
    size_t size = strlen(name);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += strspn(line, "\n \t");
        if (strncmp(line, name, size) != 0)
            continue;
        const char *value = line + size + strspn(line + size, " \t");
        if (*value != '=')
            continue;
        value += 1 + strspn(value + 1, " \t\"'");
        snprintf(key, RL_KEY, "%.*s", (int)strcspn(value, "\"'\r\n \t"), value);
        if (rl_key_is_valid(key) && strcspn(value, "\"'\r\n \t") == RL_KEY - 1)
            return 0;
    }
    return rl_fail(why, why_size, "%s: it has no right %s, as scripts/make-keys writes it", file,
                   name);
}

int rl_cert_read_public(const char *file, char public_key[RL_KEY], char *why, size_t why_size)
{
    char *text = load_file(file, why, why_size);
    int rc = text ? read_key(text, "public-key", file, public_key, why, why_size) : -1;
    free(text);
    return rc;
}

int rl_cert_read_secret(const char *file, char public_key[RL_KEY], char secret_key[RL_KEY],
                        char *why, size_t why_size)
{
    char right[RL_KEY] = "";
    char *text = load_file(file, why, why_size);
    int rc = text ? read_key(text, "public-key", file, public_key, why, why_size) : -1;
    if (rc == 0)
        rc = read_key(text, "secret-key", file, secret_key, why, why_size);
    if (text)
        explicit_bzero(text, MAX_CERT);
    free(text);
    if (rc == 0 && (zmq_curve_public(right, secret_key) != 0 || strcmp(right, public_key) != 0))
        rc = rl_fail(why, why_size, "%s: its two keys do not belong together", file);
    return rc;
}

// ------------------------------------------------------------------------------------ the allowed

struct rl_allowed {
    char *folder;
    char (*keys)[RL_KEY]; // in order
    size_t size;
    uint64_t state; // of the folder when it was read: names, sizes, times
    bool lost;      // it cannot be read: logged once
};

static int compare_keys(const void *a, const void *b)
{
    return strcmp(a, b);
}

static bool is_certificate(const struct dirent *entry)
{
    size_t size = strlen(entry->d_name);
    return entry->d_name[0] != '.' && (size < 6 || strcmp(entry->d_name + size - 6, "secret") != 0);
}

// A number that changes when a file comes, goes or is written.
static int read_state(const char *folder, uint64_t *state)
{
    struct dirent *entry;
    struct stat stat_of;
    DIR *dir = opendir(folder);
    if (!dir)
        return -1;
    *state = 1;
    while ((entry = readdir(dir)))
        if (is_certificate(entry) && fstatat(dirfd(dir), entry->d_name, &stat_of, 0) == 0) {
            uint64_t facts[] = {(uint64_t)stat_of.st_mtim.tv_sec, (uint64_t)stat_of.st_mtim.tv_nsec,
                                (uint64_t)stat_of.st_size, (uint64_t)stat_of.st_ino,
                                rl_hash64(entry->d_name, strlen(entry->d_name))};
            *state += rl_hash64(facts, sizeof facts); // whatever the order
        }
    closedir(dir);
    return 0;
}

static int read_folder(rl_allowed_t *self)
{
    struct dirent *entry;
    struct stat stat_of;
    char why[PATH + 256], path[PATH];
    DIR *dir = opendir(self->folder);
    if (!dir)
        return -1;
    self->size = 0;
    while ((entry = readdir(dir)) && self->size < MAX_ALLOWED) {
        snprintf(path, sizeof path, "%s/%s", self->folder, entry->d_name);
        if (!is_certificate(entry) || stat(path, &stat_of) != 0 || S_ISDIR(stat_of.st_mode))
            continue;
        self->keys = rl_realloc(self->keys, self->size + 1, sizeof *self->keys);
        if (rl_cert_read_public(path, self->keys[self->size], why, sizeof why) == 0)
            self->size++;
        else
            rl_warn("curve.allowed: %s", why);
    }
    closedir(dir);
    if (self->size > 0)
        qsort(self->keys, self->size, sizeof *self->keys, compare_keys);
    return 0;
}

rl_allowed_t *rl_allowed_new(const char *folder, char *why, size_t why_size)
{
    rl_allowed_t *self = rl_new(*self);
    self->folder = rl_strdup(folder);
    if (read_state(folder, &self->state) != 0 || read_folder(self) != 0) {
        snprintf(why, why_size, "%s: %s; it takes the folder of the workers' public certificates",
                 folder, strerror(errno));
        rl_allowed_destroy(&self);
    }
    return self;
}

void rl_allowed_destroy(rl_allowed_t **self_p)
{
    rl_allowed_t *self = *self_p;
    if (!self)
        return;
    free(self->folder);
    free(self->keys);
    free(self);
    *self_p = NULL;
}

bool rl_allowed_has(const rl_allowed_t *self, const char *key)
{
    return self->size > 0 && bsearch(key, self->keys, self->size, sizeof *self->keys, compare_keys);
}

size_t rl_allowed_size(const rl_allowed_t *self)
{
    return self->size;
}

const char *rl_allowed_folder(const rl_allowed_t *self)
{
    return self->folder;
}

void rl_allowed_refresh(rl_allowed_t *self)
{
    uint64_t state;
    int rc = read_state(self->folder, &state);
    if (rc == 0 && state == self->state)
        return;
    if (rc != 0 || read_folder(self) != 0) {
        if (!self->lost)
            rl_error("curve.allowed: %s: %s; those allowed before stay so", self->folder,
                     strerror(errno));
        self->lost = true;
        return;
    }
    self->lost = false;
    self->state = state;
    rl_info("curve.allowed: %zu certificates of workers in %s", self->size, self->folder);
}

// ----------------------------------------------------------------------------------- new key pairs

static bool is_key_name(const char *name)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789._-";
    size_t size = strlen(name);
    return size > 0 && size < 128 && *name != '.' && strspn(name, letters) == size &&
           (size < 6 || strcmp(name + size - 6, "secret") != 0);
}

static int make_folder(const char *path, mode_t mode)
{
    if (mkdir(path, mode) == 0 || errno == EEXIST)
        return 0;
    fprintf(stderr, "%s: %s\n", path, strerror(errno));
    return -1;
}

static int make_pair(const char *folder, const char *name)
{
    char secret[PATH], public[PATH];
    snprintf(secret, sizeof secret, "%s/%s.secret", folder, name);
    snprintf(public, sizeof public, "%s/public/%s", folder, name);
    if (access(secret, F_OK) == 0 || access(public, F_OK) == 0) {
        fprintf(stderr, "%s: there is a key of that name; remove both files to make a new one\n",
                access(secret, F_OK) == 0 ? secret : public);
        return -1;
    }
    zcert_t *cert = rl_must(zcert_new());
    zcert_set_meta(cert, "name", "%s", name);
    // the file is ours alone from its first byte on
    mode_t before = umask(0177);
    int rc = zcert_save_secret(cert, secret);
    umask(before);
    rc = rc == 0 ? zcert_save_public(cert, public) : rc;
    if (rc != 0)
        fprintf(stderr, "%s, %s: cannot be written: %s\n", secret, public, strerror(errno));
    else
        printf("%s\n    curve.key_file = %s\n    public key %s\n", name, secret,
               zcert_public_txt(cert));
    zcert_destroy(&cert);
    return rc;
}

int rl_certs_make(const char *folder, const char *const *names, size_t size)
{
    char public[PATH];
    for (size_t at = 0; at < size; at++)
        if (!is_key_name(names[at])) {
            fprintf(stderr,
                    "\"%s\" is no name for a key: letters, digits, \".\", \"_\" and \"-\", "
                    "and no \"secret\" at its end\n",
                    names[at]);
            return 2;
        }
    snprintf(public, sizeof public, "%s/public", folder);
    if (strlen(folder) + 160 > PATH || make_folder(folder, 0700) != 0 ||
        make_folder(public, 0755) != 0)
        return 1;
    for (size_t at = 0; at < size; at++)
        if (make_pair(folder, names[at]) != 0)
            return 1;
    printf("Gateways share one key: give its public key to the workers as curve.gateway_key, and\n"
           "the gateways the workers' public certificates (%s) as curve.allowed.\n",
           public);
    return 0;
}
