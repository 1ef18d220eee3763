// profile_report: the profile as text for people, and as JSON for programs.
#ifndef PROFILE_REPORT_H
#define PROFILE_REPORT_H

#include <stdio.h>

#include "model.h"
#include "shares.h"
#include "whatif.h"

typedef struct profile {
    const char *from; // the file or URL
    const recording_t *recording;
    const model_t *model;
    const shares_t *shares;
    const whatifs_t *whatifs;
    double window_s;
    size_t read; // answers, before the busiest stretch was chosen
} profile_t;

void profile_text(FILE *out, const profile_t *profile);
void profile_json(FILE *out, const profile_t *profile);

#endif
