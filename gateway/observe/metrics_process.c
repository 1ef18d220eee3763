// metrics_process: processor time, memory and descriptors of this process, from /proc.
#include "metrics_process.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

// Since Linux 6.2 the folder's size is their number; before, its entries are counted.
static double open_descriptors(void)
{
    struct stat found;
    if (stat("/proc/self/fd", &found) == 0 && found.st_size > 0)
        return (double)found.st_size;
    DIR *folder = opendir("/proc/self/fd");
    if (!folder)
        return -1;
    double count = -3; // ".", ".." and the folder itself
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

typedef struct usage {
    unsigned long long user, system, started; // clock ticks, started since the machine's
    unsigned long long virtual_bytes;
    long resident_pages;
} usage_t;

// proc(5), /proc/pid/stat: the fields behind the name, which is in brackets and may hold anything.
static bool read_usage(usage_t *usage)
{
    char line[1024];
    FILE *file = fopen("/proc/self/stat", "re");
    if (!file)
        return false;
    size_t size = fread(line, 1, sizeof line - 1, file);
    fclose(file);
    line[size] = 0;
    const char *rest = strrchr(line, ')');
    return rest && sscanf(rest + 1,
                          " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d "
                          "%*d %*d %llu %llu %ld",
                          &usage->user, &usage->system, &usage->started, &usage->virtual_bytes,
                          &usage->resident_pages) == 5;
}

// Unix time at which the machine started; 0 if it is not known.
static double boot_time(void)
{
    char line[256];
    unsigned long long seconds = 0;
    FILE *file = fopen("/proc/stat", "re");
    while (file && fgets(line, sizeof line, file) && sscanf(line, "btime %llu", &seconds) != 1) {
    }
    if (file)
        fclose(file);
    return (double)seconds;
}

static void write_usage(metrics_text_t *text, const usage_t *usage)
{
    static double boot; // read once: it does not change, and /proc/stat is long
    double tick = 1.0 / (double)sysconf(_SC_CLK_TCK);
    if (!(boot > 0))
        boot = boot_time();
    metrics_text_one(text, "process_cpu_seconds_total", "counter",
                     "Total user and system CPU time spent in seconds.",
                     (double)(usage->user + usage->system) * tick);
    metrics_text_one(text, "process_resident_memory_bytes", "gauge",
                     "Resident memory size in bytes.",
                     (double)usage->resident_pages * (double)sysconf(_SC_PAGESIZE));
    metrics_text_one(text, "process_virtual_memory_bytes", "gauge", "Virtual memory size in bytes.",
                     (double)usage->virtual_bytes);
    if (boot > 0)
        metrics_text_one(text, "process_start_time_seconds", "gauge",
                         "Start time of the process since unix epoch in seconds.",
                         boot + (double)usage->started * tick);
}

void metrics_process_write(metrics_text_t *text)
{
    usage_t usage;
    struct rlimit limit;
    double descriptors = open_descriptors();
    if (read_usage(&usage))
        write_usage(text, &usage);
    if (descriptors >= 0)
        metrics_text_one(text, "process_open_fds", "gauge", "Number of open file descriptors.",
                         descriptors);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        metrics_text_one(text, "process_max_fds", "gauge",
                         "Maximum number of open file descriptors.", (double)limit.rlim_cur);
}
