// A prompt template, and a prompt made from it: always JSON, never beyond the budget's passages.
#include "prompt.h"
#include "scratch.h"

#include <jansson.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char why[1024] = "";
    prompt_template_t *template =
        prompt_template_new(scratch_file("template", data, size), why, sizeof why);
    if (!template) {
        if (!*why)
            abort();
        return 0;
    }
    rl_passage_t passages[] = {
        {.id = 1,
         .doc = "d",
         .title = "A {title}",
         .heading = "H > I",
         .source = "s",
         .text = "One two. Three.",
         .meta = ""},
        {.id = 2,
         .doc = "e",
         .title = "",
         .heading = "",
         .source = "",
         .text = "\"Vier\"\n\n\xc3\xa4.",
         .meta = ""},
    };
    rl_turn_t turns[] = {{"system", "be brief"}, {"user", "before?"}, {"assistant", "yes"}};
    rl_generate_t generate = {
        .question = "What {question}?",
        .passages = passages,
        .passages_size = 2,
        .turns = turns,
        .turns_size = 3,
        .gateway = "",
        .request = "",
        .traceparent = "",
        .params = "",
        .prefix = "",
    };
    prompt_t prompt;
    if (prompt_build(template, &generate, 16 + size % 400, size % 3 ? 0 : size % 200, &prompt) ==
        0) {
        json_t *messages = json_loadb(prompt.messages.data, prompt.messages.size, 0, NULL);
        if (!json_is_array(messages) || prompt.passages_used > 2)
            abort();
        json_decref(messages);
    }
    prompt_free(&prompt);
    prompt_template_destroy(&template);
    return 0;
}
