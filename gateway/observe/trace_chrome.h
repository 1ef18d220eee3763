// trace_chrome: timelines as a trace file for Perfetto (ui.perfetto.dev) and chrome://tracing: JSON
// in the Trace Event Format, a process for the gateway and each worker, in it a track for each
// state or stage, and as many tracks of one as were at work at a time.
// https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
#ifndef TRACE_CHROME_H
#define TRACE_CHROME_H

#include "timeline.h"

// Appends the file's text. `timelines` in any order, all of the gateway called `gateway`. Times are
// microseconds of its monotonic clock; otherData says what Unix time they begin at.
void trace_chrome_write(const timeline_t *const *timelines, size_t size, const char *gateway,
                        rl_buf_t *out);

#endif
