// corpus: writes passages with vectors as JSONL for ragline-index, the same at every call.
//
//   corpus COUNT WORDS > passages.jsonl
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/text.h"

enum {
    MAX_WORDS = 1000
};

int main(int argc, char **argv)
{
    long count = argc == 3 ? atol(argv[1]) : 0, words = argc == 3 ? atol(argv[2]) : 0;
    if (count < 1 || words < 1 || words > MAX_WORDS) {
        fprintf(stderr, "usage: corpus COUNT WORDS (1 to %d)\n", MAX_WORDS);
        return 2;
    }
    static char title[8 * 16], text[MAX_WORDS * 16], numbers[12 * TEXT_DIMENSION];
    float vector[TEXT_DIMENSION];
    for (long i = 1; i <= count; i++) {
        text_passage(title, 5, (uint64_t)i * 7919);
        size_t size = text_passage(text, (unsigned)words, (uint64_t)i * 104729);
        text_vector(text, size, vector);
        size_t row = text_vector_json(vector, numbers);
        printf("{\"id\":\"p%ld\",\"title\":\"%s\",\"text\":\"%s\",\"vector\":[%.*s]}\n", i, title,
               text, (int)row, numbers);
    }
    return fflush(stdout) == 0 && !ferror(stdout) ? 0 : 1;
}
