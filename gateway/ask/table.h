// table: the workers that a gateway knows, a line each.
#ifndef TABLE_H
#define TABLE_H

#include <jansson.h>
#include <stdio.h>

#include "style.h"

// `workers` is the array of GET /v1/workers.
void table_workers(FILE *out, const style_t *style, const json_t *workers);

#endif
