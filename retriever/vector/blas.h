// blas: makes OpenBLAS use what the CPU can do.
#ifndef BLAS_H
#define BLAS_H

// An OpenBLAS older than the CPU it runs on falls back to kernels of 2004 ("Prescott"; Debian 12's
// does so on Xeons of 2023), which makes a batch of 64 searches 3.5 times slower. Its choice is
// made when it is loaded, so the program is started anew, once, with OPENBLAS_CORETYPE set. To be
// called first in main; returns where nothing is to be done.
void blas_use_cpu(char **argv);

// Threads that OpenBLAS may use, in the whole process. Declared in OpenBLAS's cblas.h, which may be
// another BLAS's on this machine.
void openblas_set_num_threads(int threads);
// Threads that FAISS may use in calls by this thread. Declared in omp.h, which clang lacks.
void omp_set_num_threads(int threads);

#endif
