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
#include <xxhash.h>

#include "mem.h"

int path_format(char *path, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int size = vsnprintf(path, FILE_PATH_MAX, format, args);
    va_end(args);
    if (size > 0 && size < FILE_PATH_MAX)
        return 0;
    errno = ENAMETOOLONG;
    return -1;
}

// -------------------------------------------------------------------------------------- checksums

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

int file_checksum(const char *path, const atomic_bool *stop, uint64_t *size, uint64_t *checksum)
{
    enum {
        BLOCK = 1 << 20
    };
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    unsigned char *block = rl_alloc(BLOCK);
    XXH64_state_t *state = rl_must(XXH64_createState());
    XXH64_reset(state, 0);
    uint64_t total = 0;
    ssize_t got;
    while ((got = read_block(fd, block, BLOCK)) > 0) {
        XXH64_update(state, block, (size_t)got);
        total += (uint64_t)got;
        if (stop && atomic_load(stop)) {
            got = -1;
            errno = ECANCELED;
            break;
        }
    }
    int error = errno;
    *checksum = XXH64_digest(state);
    *size = total;
    XXH64_freeState(state);
    free(block);
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
    ssize_t got = -1;
    if (fstat(fd, &st) == 0) {
        if (!S_ISREG(st.st_mode))
            errno = EISDIR;
        else if ((uint64_t)st.st_size > max)
            errno = EFBIG;
        else if ((data = malloc((size_t)st.st_size + 1)))
            got = read_block(fd, (unsigned char *)data, (size_t)st.st_size);
    }
    int error = errno;
    close(fd);
    if (got < 0) {
        free(data);
        errno = error;
        return NULL;
    }
    data[got] = '\0';
    *size = (size_t)got;
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

static int walk_folder(const char *root, const char *below, folder_fn *fn, void *arg)
{
    char path[FILE_PATH_MAX], name[FILE_PATH_MAX];
    if (path_format(path, "%s/%s", root, below) != 0)
        return -1;
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
            rc = walk_folder(root, name, fn, arg);
        else if (rc == 0 && S_ISREG(st.st_mode))
            rc = fn(arg, name, (uint64_t)st.st_size);
        free(entries[at]);
    }
    free(entries);
    return rc;
}

int folder_files(const char *root, folder_fn *fn, void *arg)
{
    return walk_folder(root, "", fn, arg);
}
