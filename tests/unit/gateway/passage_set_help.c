// hits_help: passages as merge makes them.
#include "passage_set_help.h"

#include "merge.h"

passage_set_t *help_passage_set(const char *text)
{
    rl_passage_t passage = {.id = 1,
                            .doc = "doc",
                            .title = "",
                            .heading = "",
                            .source = "",
                            .text = text,
                            .meta = "",
                            .score = 1};
    rl_hits_t found = {.hits = &passage, .hits_size = 1};
    merge_input_t input = {"docs", 0, KIND_DENSE, &found};
    merge_settings_t how = {.fusion = FUSION_CONVEX, .weights = {1, 1}, .candidates = 1, .k = 1};
    size_t size;
    merged_passage_t *passages = merge_inputs(&input, 1, &how, &size);
    return passage_set_new(passages, size, 1);
}
