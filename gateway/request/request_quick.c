// request_quick: what one passage says to the question, word for word, for those who want to read
// something while the model still reads. It is no part of the answer: not of its text, its
// citations, or what another generator goes on from.
#include "request_private.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "extract.h"

// OpenAI's clients get it only where they have asked for it themselves.
static bool is_wanted(const request_t *self)
{
    const question_t *question = self->question;
    bool usual = question->form == FORM_ASK && self->pipeline->settings.quick_answer;
    return self->face->ops->preview && (question->preview_given ? question->preview : usual);
}

// A generator without a model answers with sentences of the passages itself, and at once.
static bool is_read_by_a_model(const request_t *self)
{
    return !self->generation || strcmp(self->generation->worker->model, "extractive") != 0;
}

void request_quick_answer(request_t *self)
{
    answer_preview_t preview;
    if (!is_wanted(self) || self->answer.passages_size == 0 || !is_read_by_a_model(self))
        return;
    // merge gives the passages in one row
    char *text = rl_extract_quote(self->search_text, self->answer.passages[0].passage,
                                  self->answer.passages_size, &preview.passage, &preview.score);
    if (!text)
        return;
    preview.text = text;
    preview.passage++; // from 1, as in citations
    self->face->ops->preview(self->face, &preview);
    self->timeline->preview_us = timeline_at(self->timeline, rl_now_us());
    metrics_count(self->pipeline->metrics, COUNT_PREVIEWS, 1);
    free(text);
}
