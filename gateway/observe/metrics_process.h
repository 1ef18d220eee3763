// metrics_process: what the kernel reports about this process, under the names that all Prometheus
// clients use: process_cpu_seconds_total, process_resident_memory_bytes…
// https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics
#ifndef METRICS_PROCESS_H
#define METRICS_PROCESS_H

#include "metrics_text.h"

// Appends them, without those that the kernel does not report.
void metrics_process_write(metrics_text_t *text);

#endif
