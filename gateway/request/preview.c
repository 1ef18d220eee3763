#include "preview.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "extract.h"
#include "generation.h"
#include "request_private.h"

// OpenAI's clients get it only where they have asked for it themselves.
static bool is_wanted(const request_t *self)
{
    const question_t *question = self->question;
    bool usual = question->form == FORM_ASK && self->pipeline->settings.quick_answer;
    return self->response->ops->preview && question->form != FORM_DRAFT &&
           (question->preview_given ? question->preview : usual);
}

void preview_send(request_t *self)
{
    answer_preview_t preview;
    if (self->previewed)
        return;
    self->previewed = true;
    // a generator without a model answers with sentences of the passages itself, and at once
    if (!is_wanted(self) || self->answer.passages_size == 0 ||
        strcmp(generation_model(self), "extractive") == 0)
        return;
    // merge gives the passages in one row
    char *text = rl_extract_quote(self->search_text, self->answer.passages[0].passage,
                                  self->answer.passages_size, &preview.passage, &preview.score);
    if (!text)
        return;
    preview.text = text;
    preview.passage++; // from 1, as in citations
    self->response->ops->preview(self->response, &preview);
    self->timeline->preview_us = timeline_at(self->timeline, rl_now_us());
    metrics_count(self->pipeline->metrics, COUNT_PREVIEWS, 1);
    free(text);
}
