// blas: the choice of OpenBLAS's kernels.
#include "blas.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// Declared in OpenBLAS's cblas.h, which may be another BLAS's on this machine.
char *openblas_get_corename(void);

void blas_use_cpu(char **argv)
{
#if defined(__x86_64__)
    static const char name[] = "OPENBLAS_CORETYPE";
    const char *better = NULL;
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        better = "Haswell";
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        better = "SkylakeX";
    if (!better || getenv(name) || strcmp(openblas_get_corename(), "Prescott") != 0)
        return;
    char path[4096]; // not "/proc/self/exe" itself, which would be the process's name then
    ssize_t size = readlink("/proc/self/exe", path, sizeof path - 1);
    if (size > 0 && setenv(name, better, 0) == 0) {
        path[size] = '\0';
        execv(path, argv);
    }
    unsetenv(name); // it could not be started anew: results are the same, only slower
#else
    (void)argv;
#endif
}
