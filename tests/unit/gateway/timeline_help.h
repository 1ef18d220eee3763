// timeline_help: timelines made by hand, for tests of those who read them.
#ifndef TIMELINE_HELP_H
#define TIMELINE_HELP_H

#include "timeline.h"

enum {
    MADE_RECEIVED_US = 5000000, // by the monotonic clock
};
#define MADE_WALL_US INT64_C(1700000000000000)
#define MADE_TRACE "0af7651916cd43dd8448eb211c80319c"
#define MADE_PARENT "b7ad6b7169203331"

// An answer of 500 ms by "chat", with two searches and one embedding, of one generator;
// `traceparent` may be NULL. All its stages differ in length. Free it with timeline_destroy.
//
//     0      1           41      43   45                 145       500 ms
//     receive|searching  |merging|wait|generating        |streaming|done
timeline_t *make_timeline(const char *traceparent);

// One whose first generator was lost after 10 ms, so that a second one wrote it.
timeline_t *make_timeline_retried(void);

// One that failed while it was searching.
timeline_t *make_timeline_failed(void);

#endif
