// flat_private: what the files of flat share.
#ifndef FLAT_PRIVATE_H
#define FLAT_PRIVATE_H

#include "flat.h"

// Rounding errors of the sums themselves, which the bound does not know: far above those of
// RL_MAX_DIMENSION additions of floats of vectors of length 1.
static const float FLAT_SLACK = 1e-4f;

struct flat {
    const float *rows;
    size_t count, dimension;
    size_t stride; // bytes of a row of codes: the dimension, filled up with zeros to whole
                   // registers
    int8_t *codes; // a row is about scale * codes
    float *scales; // not a number where the row has what is none
    float *rests;  // the length of what rounding has left off
    float error;   // the longest of them
    float longest; // of the rows as rounded
};

// Rounds a vector into codes; returns the length of what is left off, and its own as rounded. One
// that is not finite leaves the codes as they are and has a scale that is no number.
float flat_round(const float *row, size_t dimension, int8_t *codes, float *scale, float *rounded);

#endif
