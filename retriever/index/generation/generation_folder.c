// generation_folder: lock, numbers and CURRENT of a collection's folder.
#include "generation_folder.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "fail.h"
#include "files.h"

// Writes this process's number into the file, for the message that another builder gets.
static int write_pid(int lock, const char *path, char *why, size_t why_size)
{
    char pid[32];
    int size = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    if (ftruncate(lock, 0) != 0 || pwrite(lock, pid, (size_t)size, 0) != size)
        return rl_fail(why, why_size, "%s: cannot write: %s", path, strerror(errno));
    return 0;
}

int generation_folder_lock(const char *folder, char *why, size_t why_size)
{
    char path[FILE_PATH_MAX], pid[32] = "";
    if (path_format(path, "%s/LOCK", folder) != 0)
        return rl_fail(why, why_size, "%s: the path is too long", folder);
    int lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (lock < 0)
        return rl_fail(why, why_size, "%s: %s", path, strerror(errno));
    if (flock(lock, LOCK_EX | LOCK_NB) == 0) {
        if (write_pid(lock, path, why, why_size) == 0)
            return lock;
    } else if (errno != EWOULDBLOCK) {
        rl_fail(why, why_size, "%s: cannot lock: %s", path, strerror(errno));
    } else {
        ssize_t got = pread(lock, pid, sizeof pid - 1, 0);
        rl_fail(why, why_size,
                "%s: another builder (process %d) is at work on this index; "
                "wait for it, or stop it",
                path, got > 0 ? atoi(pid) : 0);
    }
    close(lock);
    return -1;
}

// The number in "g-NNNNNN" or "g-NNNNNN.tmp", 0 for any other name.
static uint64_t parse_number(const char *name, bool *temporary)
{
    *temporary = false;
    if (strncmp(name, "g-", 2) != 0 || !isdigit((unsigned char)name[2]))
        return 0;
    char *end = NULL;
    uint64_t number = strtoull(name + 2, &end, 10);
    *temporary = strcmp(end, ".tmp") == 0;
    return end - name >= 8 && (*temporary || !*end) && number < UINT64_C(1) << 50 ? number : 0;
}

// Removes temporary generations, and finished ones with a number below `oldest` that are not
// `previous`. Returns the highest number seen.
static uint64_t sweep_generations(const char *folder, const char *previous, uint64_t oldest)
{
    DIR *dir = opendir(folder);
    if (!dir)
        return 0;
    uint64_t highest = 0;
    struct dirent *entry;
    char path[FILE_PATH_MAX];
    while ((entry = readdir(dir)) != NULL) {
        const char *name = entry->d_name;
        bool temporary;
        uint64_t number = parse_number(name, &temporary);
        if (number > highest)
            highest = number;
        bool old = number < oldest && strcmp(name, previous) != 0;
        if (number > 0 && (temporary || old) && path_format(path, "%s/%s", folder, name) == 0)
            folder_remove(path);
    }
    closedir(dir);
    return highest;
}

void generation_folder_next(const char *folder, char *name)
{
    char current[STORE_NAME] = "", ignored[FILE_PATH_MAX];
    bool temporary;
    store_current(folder, current, ignored, sizeof ignored);
    uint64_t number = parse_number(current, &temporary);
    uint64_t highest = sweep_generations(folder, current, 0);
    snprintf(name, STORE_NAME, "g-%06" PRIu64, (highest > number ? highest : number) + 1);
}

void generation_folder_clean(const char *folder, const char *previous, const char *name)
{
    bool temporary;
    sweep_generations(folder, previous, parse_number(name, &temporary));
}

int generation_folder_activate(const char *folder, const char *name, char *temporary, char *why,
                               size_t why_size)
{
    char path[FILE_PATH_MAX], fresh[FILE_PATH_MAX], line[STORE_NAME + 2];
    if (path_format(path, "%s/%s", folder, name) != 0 || file_sync(temporary) != 0 ||
        rename(temporary, path) != 0)
        return rl_fail(why, why_size, "%s: %s", temporary, strerror(errno));
    snprintf(temporary, FILE_PATH_MAX, "%s", path);
    int size = snprintf(line, sizeof line, "%s\n", name);
    if (path_format(fresh, "%s/CURRENT.tmp", folder) != 0 ||
        path_format(path, "%s/CURRENT", folder) != 0 ||
        file_write(fresh, line, (size_t)size) != 0 || file_sync(folder) != 0 ||
        rename(fresh, path) != 0)
        return rl_fail(why, why_size, "%s: cannot write: %s", path, strerror(errno));
    temporary[0] = '\0';
    file_sync(folder);
    return 0;
}

manifest_data_t *generation_folder_manifest(const char *folder, const char *name)
{
    char path[FILE_PATH_MAX], ignored[FILE_PATH_MAX];
    if (!*name || path_format(path, "%s/%s", folder, name) != 0)
        return NULL;
    return manifest_read(path, ignored, sizeof ignored);
}

void generation_folder_drop_sync(const char *folder)
{
    char path[FILE_PATH_MAX], name[FILE_PATH_MAX];
    DIR *dir = path_format(path, "%s/sync", folder) == 0 ? opendir(path) : NULL;
    struct dirent *entry;
    while (dir && (entry = readdir(dir)) != NULL) {
        const char *ending = strrchr(entry->d_name, '.');
        bool state = ending && (strcmp(ending, ".mdb") == 0 || strcmp(ending, ".json") == 0);
        if (state && path_format(name, "%s/%s", path, entry->d_name) == 0)
            unlink(name);
    }
    if (dir)
        closedir(dir);
}
