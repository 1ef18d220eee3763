// blas: makes OpenBLAS use what the CPU can do.
#ifndef BLAS_H
#define BLAS_H

// An OpenBLAS older than the CPU it runs on falls back to kernels of 2004 ("Prescott"; Debian 12's
// does so on Xeons of 2023), which makes a batch of 64 searches 3.5 times slower. Its choice is
// made when it is loaded, so the program is started anew, once, with OPENBLAS_CORETYPE set. To be
// called first in main; returns where nothing is to be done.
void blas_use_cpu(char **argv);

#endif
