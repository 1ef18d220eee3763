// size_run: ragline-index --size-passages N: says what N passages want, builds nothing.
#include "capacity.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "build.h"
#include "files.h"
#include "log.h"
#include "store.h"

enum {
    MEASURED = 25000 // passages: large enough for a graph and lists, small enough to be quick
};

static void print_stage(const char *what)
{
    fprintf(stderr, "measuring %s\n", what);
}

static double memory_here(void)
{
    return (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
}

static void set_workload(const rl_conf_t *conf, capacity_workload_t *workload)
{
    long cores = rl_conf_int(conf, "size.cores");
    double memory = rl_conf_num(conf, "size.memory_gb") * 1e9;
    *workload = (capacity_workload_t){
        .passages = (double)rl_conf_int(conf, "size.passages"),
        .rate = rl_conf_num(conf, "size.rate"),
        .latency_ms = rl_conf_num(conf, "size.latency_ms"),
        .replicas = (unsigned)rl_conf_int(conf, "size.replicas"),
        .memory = memory > 0 ? memory : memory_here(),
        .cores = (unsigned)(cores > 0 ? cores : sysconf(_SC_NPROCESSORS_ONLN)),
    };
}

// From the file, or measured now and put into it.
static int get_figures(const rl_conf_t *conf, capacity_figures_t *figures, char *why,
                       size_t why_size)
{
    const char *path = rl_conf_str(conf, "size.figures");
    size_t dimension = (size_t)rl_conf_int(conf, "size.dimension");
    if (*path && access(path, F_OK) == 0) {
        if (capacity_load(figures, path, why, why_size) != 0)
            return -1;
        if (figures->dimension != (double)dimension)
            return rl_fail(why, why_size,
                           "%s: was measured with %.0f dimensions, not %zu; name another file "
                           "(size.figures), or remove it to measure again",
                           path, figures->dimension, dimension);
        return 0;
    }
    if (capacity_measure(MEASURED, dimension, print_stage, figures, why, why_size) != 0)
        return -1;
    return *path ? capacity_save(figures, path, why, why_size) : 0;
}

int capacity_run(const rl_conf_t *conf)
{
    char why[1024] = "";
    if (!rl_conf_given(conf,
                       "log.level")) // what sources say of each index is of no use here
        rl_log_setup("index", "warn", false);
    capacity_workload_t workload;
    capacity_figures_t figures;
    set_workload(conf, &workload);
    if (get_figures(conf, &figures, why, sizeof why) != 0) {
        fprintf(stderr, "ragline-index: %s\n", why);
        return BUILD_FAILED;
    }
    capacity_report(&figures, &workload, stdout);
    return fflush(stdout) == 0 ? BUILD_WHOLE : BUILD_FAILED;
}
