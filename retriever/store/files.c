// files: checksums, whole small files, folders, syncing to disk.
#include "files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int path_format(char *path, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int size = vsnprintf(path, FILE_PATH_MAX, format, args);
    va_end(args);
    return size > 0 && size < FILE_PATH_MAX ? 0 : -1;
}

// -------------------------------------------------------------------------------------- checksums

static const uint64_t prime1 = 0x9E3779B185EBCA87u, prime2 = 0xC2B2AE3D27D4EB4Fu,
                      prime3 = 0x165667B19E3779F9u, prime4 = 0x85EBCA77C2B2AE63u,
                      prime5 = 0x27D4EB2F165667C5u;

typedef struct xxh {
    uint64_t lane[4];
    uint64_t total;
} xxh_t;

static uint64_t rotate(uint64_t value, int by)
{
    return value << by | value >> (64 - by);
}

static uint64_t read64(const unsigned char *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static uint64_t mix_lane(uint64_t lane, uint64_t input)
{
    return rotate(lane + input * prime2, 31) * prime1;
}

static xxh_t xxh_start(void)
{
    return (xxh_t){{prime1 + prime2, prime2, 0, 0 - prime1}, 0};
}

// Takes whole stripes of 32 bytes.
static void xxh_stripes(xxh_t *self, const unsigned char *at, size_t size)
{
    uint64_t a = self->lane[0], b = self->lane[1], c = self->lane[2], d = self->lane[3];
    for (const unsigned char *end = at + size; at < end; at += 32) {
        a = mix_lane(a, read64(at));
        b = mix_lane(b, read64(at + 8));
        c = mix_lane(c, read64(at + 16));
        d = mix_lane(d, read64(at + 24));
    }
    self->lane[0] = a, self->lane[1] = b, self->lane[2] = c, self->lane[3] = d;
    self->total += size;
}

// The last bytes, fewer than 32, and the result.
static uint64_t xxh_end(xxh_t *self, const unsigned char *at, size_t size)
{
    uint64_t sum = prime5;
    if (self->total > 0) {
        sum = rotate(self->lane[0], 1) + rotate(self->lane[1], 7) + rotate(self->lane[2], 12) +
              rotate(self->lane[3], 18);
        for (int each = 0; each < 4; each++)
            sum = (sum ^ mix_lane(0, self->lane[each])) * prime1 + prime4;
    }
    sum += self->total + size;
    for (; size >= 8; at += 8, size -= 8)
        sum = rotate(sum ^ mix_lane(0, read64(at)), 27) * prime1 + prime4;
    if (size >= 4) {
        uint32_t word;
        memcpy(&word, at, sizeof word);
        sum = rotate(sum ^ word * prime1, 23) * prime2 + prime3;
        at += 4, size -= 4;
    }
    for (; size > 0; at++, size--)
        sum = rotate(sum ^ *at * prime5, 11) * prime1;
    sum = (sum ^ sum >> 33) * prime2;
    sum = (sum ^ sum >> 29) * prime3;
    return sum ^ sum >> 32;
}

uint64_t checksum_bytes(const void *data, size_t size)
{
    xxh_t state = xxh_start();
    size_t whole = size & ~(size_t)31;
    xxh_stripes(&state, data, whole);
    return xxh_end(&state, (const unsigned char *)data + whole, size - whole);
}

// Fills the block as far as the file goes. Returns the bytes, or -1 with errno.
static ssize_t read_block(int fd, unsigned char *block, size_t room)
{
    size_t have = 0;
    while (have < room) {
        ssize_t got = read(fd, block + have, room - have);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        have += (size_t)got;
    }
    return (ssize_t)have;
}

int file_checksum(const char *path, uint64_t *size, uint64_t *checksum)
{
    return file_checksum_until(path, NULL, size, checksum);
}

int file_checksum_until(const char *path, const atomic_bool *stop, uint64_t *size,
                        uint64_t *checksum)
{
    enum {
        BLOCK = 1 << 20
    };
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    unsigned char *block = malloc(BLOCK);
    ssize_t got = fd < 0 || !block ? -1 : 0;
    xxh_t state = xxh_start();
    uint64_t total = 0;
    if (got == 0) {
        while ((got = read_block(fd, block, BLOCK)) == BLOCK) {
            xxh_stripes(&state, block, BLOCK);
            total += BLOCK;
            if (stop && atomic_load(stop)) {
                got = -1;
                errno = ECANCELED;
                break;
            }
        }
    }
    if (got >= 0) {
        size_t whole = (size_t)got & ~(size_t)31;
        xxh_stripes(&state, block, whole);
        *checksum = xxh_end(&state, block + whole, (size_t)got - whole);
        *size = total + (size_t)got;
    }
    int error = errno;
    free(block);
    if (fd >= 0)
        close(fd);
    errno = error;
    return got < 0 ? -1 : 0;
}

// ------------------------------------------------------------------------------------ whole files

int file_size(const char *path, uint64_t *size)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return -1;
    if (!S_ISREG(st.st_mode)) {
        errno = EISDIR;
        return -1;
    }
    *size = (uint64_t)st.st_size;
    return 0;
}

char *file_read(const char *path, size_t max, size_t *size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    struct stat st;
    char *data = NULL;
    int error = 0;
    if (fstat(fd, &st) != 0)
        error = errno;
    else if (!S_ISREG(st.st_mode))
        error = EISDIR;
    else if ((uint64_t)st.st_size > max)
        error = EFBIG;
    else if (!(data = malloc((size_t)st.st_size + 1)))
        error = ENOMEM;
    if (data) {
        ssize_t got = read_block(fd, (unsigned char *)data, (size_t)st.st_size);
        if (got < 0) {
            error = errno;
            free(data);
            data = NULL;
        } else {
            data[got] = '\0';
            *size = (size_t)got;
        }
    }
    close(fd);
    errno = error;
    return data;
}

int file_write(const char *path, const void *data, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return -1;
    const char *at = data;
    int error = 0;
    while (size > 0 && !error) {
        ssize_t put = write(fd, at, size);
        if (put < 0 && errno != EINTR)
            error = errno;
        if (put > 0)
            at += put, size -= (size_t)put;
    }
    if (!error && fsync(fd) != 0)
        error = errno;
    if (close(fd) != 0 && !error)
        error = errno;
    errno = error;
    return error ? -1 : 0;
}

int file_sync(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int rc = fsync(fd);
    int error = errno;
    close(fd);
    errno = error;
    return rc;
}

// ---------------------------------------------------------------------------------------- folders

static int remove_entries(int folder);

static int remove_entry(int folder, const char *name)
{
    if (unlinkat(folder, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return -1;
    int inner = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (inner < 0)
        return -1;
    if (remove_entries(inner) != 0)
        return -1;
    return unlinkat(folder, name, AT_REMOVEDIR);
}

// Takes the descriptor over.
static int remove_entries(int folder)
{
    DIR *dir = fdopendir(folder);
    if (!dir) {
        close(folder);
        return -1;
    }
    int rc = 0;
    struct dirent *entry;
    while (rc == 0 && (entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            rc = remove_entry(folder, entry->d_name);
    }
    int error = errno;
    closedir(dir);
    errno = error;
    return rc;
}

int folder_remove(const char *path)
{
    return remove_entry(AT_FDCWD, path);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int not_dots(const struct dirent *entry)
{
    return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

static int walk(const char *root, const char *below, folder_fn *fn, void *arg)
{
    char path[FILE_PATH_MAX], name[FILE_PATH_MAX];
    if (path_format(path, "%s/%s", root, below) != 0) {
        errno = ENAMETOOLONG;
        return -1;
    }
    struct dirent **entries;
    int count = scandir(path, &entries, not_dots, by_name);
    if (count < 0)
        return -1;
    int rc = 0;
    for (int at = 0; at < count; at++) {
        struct stat st;
        bool fits =
            path_format(name, "%s%s%s", below, *below ? "/" : "", entries[at]->d_name) == 0 &&
            path_format(path, "%s/%s", root, name) == 0;
        if (rc == 0 && (!fits || lstat(path, &st) != 0))
            rc = -1;
        if (rc == 0 && S_ISDIR(st.st_mode))
            rc = walk(root, name, fn, arg);
        else if (rc == 0 && S_ISREG(st.st_mode))
            rc = fn(arg, name, (uint64_t)st.st_size);
        free(entries[at]);
    }
    free(entries);
    return rc;
}

int folder_files(const char *root, folder_fn *fn, void *arg)
{
    return walk(root, "", fn, arg);
}
