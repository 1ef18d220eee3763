// top_private: what the files of the page share; for them alone.
#ifndef TOP_PRIVATE_H
#define TOP_PRIVATE_H

#include "top_page.h"
#include "top_text.h"

// A window of the sum: the last 10 s, or the last 60.
const json_t *top_window(const json_t *sum, bool minute);

// Times to status, passages, first token and end; stages; workers: each with its heading.
void top_times(const json_t *sum, const top_view_t *view, rl_buf_t *out);
void top_stages(const json_t *sum, const top_view_t *view, rl_buf_t *out);
void top_workers(const json_t *sum, const top_view_t *view, rl_buf_t *out);

#endif
