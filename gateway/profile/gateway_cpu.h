// gateway_cpu: what a question costs a gateway, from its own metrics: no timeline says it.
#ifndef GATEWAY_CPU_H
#define GATEWAY_CPU_H

// Milliseconds of CPU for each question since the gateway began, all its threads, all tokens and
// what it does without any question included, so that it is the most that one can take; `metrics`
// is the text of GET /metrics. 0 where it does not say, or too few were asked.
double gateway_cpu_ms(const char *metrics);

#endif
