// omp: the one type of OpenMP that FAISS's headers name, for compilers that do not bring omp.h
// along (clang); looked for last. Nothing here locks.
#ifndef COMPAT_OMP_H
#define COMPAT_OMP_H

typedef struct omp_lock_t {
    int unused; // of libgomp's size; only referred to
} omp_lock_t;

#endif
