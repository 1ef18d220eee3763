// direct: what FAISS alone takes for a question: the yardstick for what ragline adds.
//
//   direct vectors.faiss K CALLS   → {"vectors":5000,"dimension":384,"search_ms":{…}}
//
// One call at a time with one thread, a new vector each, with a pause in between as long as a lone
// client leaves between two questions' searches, so that caches are no warmer than there.
//
//   direct vectors.faiss K 0       a line in, a call: its microseconds in a line out
#include <faiss/c_api/Index_c.h>
#include <faiss/c_api/error_c.h>
#include <faiss/c_api/index_io_c.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "clock.h"
#include "lib/samples.h"
#include "lib/text.h"

enum {
    PAUSE_US = 200000,
    MAX_K = 1000
};

static void fail(const char *what)
{
    const char *error = faiss_get_last_error();
    fprintf(stderr, "direct: %s: %s\n", what, error ? error : "no more is known");
    exit(1);
}

// One call with a vector made of `i`; its time in µs.
static uint64_t search(FaissIndex *index, long i, long k)
{
    static float distances[MAX_K];
    static idx_t ids[MAX_K];
    float question[TEXT_DIMENSION];
    text_vector((const char *)&i, sizeof i, question);
    uint64_t start = rl_now_us();
    if (faiss_Index_search(index, 1, question, k, distances, ids) != 0)
        fail("search");
    return rl_now_us() - start;
}

static void search_by_line(FaissIndex *index, long k)
{
    char line[80];
    for (long i = 0; fgets(line, sizeof line, stdin); i++) {
        printf("%llu\n", (unsigned long long)search(index, i, k));
        fflush(stdout);
    }
}

int main(int argc, char **argv)
{
    long k = argc == 4 ? atol(argv[2]) : 0, calls = argc == 4 ? atol(argv[3]) : -1;
    if (k < 1 || k > MAX_K || calls < 0) {
        fputs("usage: direct vectors.faiss K CALLS\n", stderr);
        return 2;
    }
    if (!getenv("OMP_NUM_THREADS")) { // read when the libraries are loaded
        setenv("OMP_NUM_THREADS", "1", 1);
        setenv("OPENBLAS_NUM_THREADS", "1", 1);
        execv("/proc/self/exe", argv);
    }
    FaissIndex *index = NULL;
    samples_t samples = {0};
    if (faiss_read_index_fname(argv[1], 0, &index) != 0)
        fail(argv[1]);
    if (faiss_Index_d(index) != TEXT_DIMENSION)
        fail("another dimension");
    if (calls == 0) {
        search_by_line(index, k);
        faiss_Index_free(index);
        return 0;
    }
    for (long i = 0; i < calls; i++) {
        usleep(PAUSE_US);
        samples_add(&samples, search(index, i, k));
    }
    printf("{\"vectors\":%lld,\"dimension\":%d,\"search_ms\":",
           (long long)faiss_Index_ntotal(index), faiss_Index_d(index));
    samples_json(&samples, stdout);
    puts("}");
    faiss_Index_free(index);
    return 0;
}
