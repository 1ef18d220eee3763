// clustered: makes the corpus of make scale-check, the same at every call.
//
//   clustered passages COUNT [FIRST]   JSONL for ragline-index, without vectors: id "row-I", text,
//                                      and metadata for filters: n, a permutation of 0..999,999
//                                      (of each million rows), and topic
//   clustered vectors COUNT [FIRST]    their vectors: 32-bit floats, little endian, 384 each, in
//                                      numpy's form (.npy)
//   clustered both COUNT [FIRST]       JSONL with "vector"
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "blas.h"
#include "lib/text.h"
#include "synthetic.h"

enum {
    MILLION = 1000000,
    STEP = 777767, // has no factor of a million's, so that multiples of it meet every number once
};

static float block[SYNTHETIC_BLOCK * TEXT_DIMENSION];

static void put_passage(uint64_t row, const float *vector)
{
    static char text[SYNTHETIC_TEXT], numbers[12 * TEXT_DIMENSION];
    synthetic_passage(row, text);
    printf("{\"id\":\"row-%llu\",\"text\":\"%s\",\"n\":%llu,\"topic\":\"t%u\"",
           (unsigned long long)row, text, (unsigned long long)(row % MILLION * STEP % MILLION),
           synthetic_topic(row));
    if (vector)
        printf(",\"vector\":[%.*s]", (int)text_vector_json(vector, numbers), numbers);
    puts("}");
}

// Version 1.0 of numpy.lib.format: a header padded to a multiple of 64 bytes, then the numbers.
static void put_npy_header(uint64_t rows)
{
    char header[129];
    int size = snprintf(header, sizeof header,
                        "\x93NUMPY\x01%c\x76%c{'descr': '<f4', "
                        "'fortran_order': False, 'shape': (%llu, %d), }",
                        0, 0, (unsigned long long)rows, TEXT_DIMENSION);
    memset(header + size, ' ', sizeof header - (size_t)size);
    header[127] = '\n';
    fwrite(header, 1, 128, stdout);
}

int main(int argc, char **argv)
{
    blas_use_cpu(argv);
    uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
    uint64_t first = argc > 3 ? strtoull(argv[3], NULL, 10) : 0;
    const char *what = argc > 1 ? argv[1] : "";
    bool passages = strcmp(what, "passages") == 0, vectors = strcmp(what, "vectors") == 0;
    if (count < 1 || !(passages || vectors || strcmp(what, "both") == 0)) {
        fputs("usage: clustered passages|vectors|both COUNT [FIRST]\n", stderr);
        return 2;
    }
    synthetic_t *corpus = passages ? NULL : synthetic_new(TEXT_DIMENSION);
    if (!corpus && !passages)
        return 1;
    if (vectors)
        put_npy_header(count);
    for (uint64_t at = 0; at < count; at += SYNTHETIC_BLOCK) {
        size_t rows = count - at < SYNTHETIC_BLOCK ? count - at : SYNTHETIC_BLOCK;
        if (corpus)
            synthetic_vectors(corpus, first + at, rows, block);
        if (vectors)
            fwrite(block, TEXT_DIMENSION * sizeof *block, rows, stdout);
        for (size_t row = 0; !vectors && row < rows; row++)
            put_passage(first + at + row, corpus ? block + row * TEXT_DIMENSION : NULL);
    }
    synthetic_destroy(&corpus);
    return fflush(stdout) == 0 && !ferror(stdout) ? 0 : 1;
}
