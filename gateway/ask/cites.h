// cites: whether a sentence names the passage it rests on by itself.
#ifndef CITES_H
#define CITES_H

#include <stdbool.h>
#include <stddef.h>

// Whether the last sentence of `text` (white space at its end left out) holds "[n]", also among
// others as in "[1, 3]". A sentence begins after one of . ! ? : and white space.
bool cites_itself(const char *text, size_t size, unsigned n);

#endif
