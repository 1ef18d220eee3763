// metrics_process: what the kernel says about this process, under the names that all Prometheus
// clients have for it: process_cpu_seconds_total, process_resident_memory_bytes…
// https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics
#ifndef METRICS_PROCESS_H
#define METRICS_PROCESS_H

#include "metrics_text.h"

// Appends them; what the kernel does not tell is left out.
void metrics_process_write(metrics_text_t *text);

#endif
