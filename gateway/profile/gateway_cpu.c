// gateway_cpu: two lines of Prometheus's text format.
#include "gateway_cpu.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    MIN_QUESTIONS = 20, // of fewer, the start of the program is most
};

// The value of a metric without labels; −1 if it is not there.
static double value_of(const char *metrics, const char *name)
{
    size_t size = strlen(name);
    for (const char *line = metrics; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, size) != 0 || line[size] != ' ')
            continue;
        char *end;
        double value = strtod(line + size, &end);
        return end > line + size && isfinite(value) ? value : -1;
    }
    return -1;
}

double gateway_cpu_ms(const char *metrics)
{
    double seconds = value_of(metrics, "process_cpu_seconds_total");
    double questions = value_of(metrics, "ragline_questions_total");
    return seconds > 0 && questions >= MIN_QUESTIONS ? 1000 * seconds / questions : 0;
}
