// prompt: the messages for the LLM, within its context.
#include "prompt.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem.h"
#include "prompt_trim.h"
#include "sentence.h"
#include "template.h"

enum {
    PROMPT_MAX = 8 << 20,  // bytes of the messages
    PASSAGE_MAX = 1 << 20, // bytes of one rendered passage
    MESSAGE_TOKENS = 8,    // what a chat template puts around a message
    SHORTEST_PASSAGE = 32, // tokens: less of a passage is of no use
};

static const char turns_head[] = "Earlier in this conversation:\n";

size_t prompt_tokens(const char *text, size_t size)
{
    size_t plain = 0, single = 0, other = 0;
    for (size_t at = 0; at < size; at++) {
        unsigned char c = (unsigned char)text[at];
        if (c >= 0x80)
            other++;
        else if (isalpha(c) || c == ' ' || c == '\n' || c == '\r' || c == '\t')
            plain++;
        else
            single++;
    }
    return (plain * 2 + 6) / 7 + single + (other * 2 + 2) / 3;
}

// What a prompt is made of, while it is.
typedef struct work {
    const prompt_template_t *template;
    const rl_generate_t *generate;
    rl_buf_t passages; // rendered, those that are used
    rl_buf_t turns;    // the conversation as text
    rl_buf_t system;   // the client's system turns
    rl_buf_t scratch;
    bool *kept;         // which turns are used
    prompt_cut_t *cuts; // what is left of each passage
    bool trims;         // not all of them is left
    prompt_t *out;
} work_t;

static bool is_system(const rl_turn_t *turn)
{
    return strcmp(turn->role, "system") == 0 || strcmp(turn->role, "developer") == 0;
}

static void add_where(rl_buf_t *out, const rl_passage_t *passage)
{
    size_t title = strlen(passage->title);
    rl_buf_add(out, passage->title, title);
    // a path of headings often starts with the title
    const char *heading = passage->heading;
    if (title > 0 && strncmp(heading, passage->title, title) == 0 &&
        (heading[title] == '\0' || strncmp(heading + title, " > ", 3) == 0))
        heading += title + (heading[title] ? 3 : 0);
    if (*heading && title > 0)
        rl_buf_adds(out, " > ");
    rl_buf_adds(out, heading);
}

// Where sentences are missing, this stands in their place.
static const char missing[] = "…";

static void render_text(const rl_passage_t *passage, const prompt_cut_t *cut, rl_buf_t *out)
{
    const char *end = passage->text + cut->from + cut->size;
    if (cut->from > 0)
        rl_buf_addf(out, "%s ", missing);
    rl_buf_add(out, passage->text + cut->from, cut->size);
    if (end[strspn(end, " \t\r\n")])
        rl_buf_addf(out, " %s", missing);
}

static void render_passage(const prompt_template_t *template, const rl_passage_t *passage, size_t n,
                           size_t text_size, const prompt_cut_t *cut, rl_buf_t *out)
{
    for (size_t at = 0; at < template->passage.size; at++) {
        const template_part_t *part = &template->passage.parts[at];
        switch (part->what) {
        case PART_TEXT:
            rl_buf_add(out, part->text, part->size);
            break;
        case PART_N:
            rl_buf_addf(out, "%zu", n);
            break;
        case PART_TITLE:
            rl_buf_adds(out, passage->title);
            break;
        case PART_HEADING:
            rl_buf_adds(out, passage->heading);
            break;
        case PART_WHERE:
            add_where(out, passage);
            break;
        case PART_SOURCE:
            rl_buf_adds(out, passage->source);
            break;
        default: // {text}: template.c refuses the others in a passage
            if (cut)
                render_text(passage, cut, out);
            else
                rl_buf_add(out, passage->text, text_size);
        }
    }
}

// How much of the text fits into so many tokens when it ends at a sentence; 0 if no sentence does.
static size_t fitting_sentences(const char *text, size_t tokens)
{
    size_t size = strlen(text), used = 0;
    while (used < size) {
        size_t next = rl_sentence_end(text, size, used);
        if (prompt_tokens(text, next) > tokens)
            break;
        used = next;
    }
    return used;
}

// Cuts the passages where the whole, with `others` tokens beside them, has more than `quick`.
static void trim_passages(work_t *work, size_t others, size_t quick)
{
    const rl_generate_t *generate = work->generate;
    prompt_t *out = work->out;
    for (size_t at = 0; at < generate->passages_size; at++) {
        rl_buf_clear(&work->scratch);
        render_passage(work->template, &generate->passages[at], at + 1, 0, NULL, &work->scratch);
        work->cuts[at].around = prompt_tokens(work->scratch.data, work->scratch.size) + 2;
    }
    size_t left = quick > others ? quick - others : 0;
    out->tokens_trimmed = prompt_trim(generate, left, work->cuts);
    work->trims = out->tokens_trimmed > 0;
    for (size_t at = 0; at < generate->passages_size && work->trims; at++) {
        const prompt_cut_t *cut = &work->cuts[at];
        out->repeated += cut->repeats;
        out->cut +=
            !cut->repeats && (cut->left_out || cut->size != strlen(generate->passages[at].text));
    }
}

// Adds passages from the first on while they fit. Returns the tokens left.
static size_t add_passages(work_t *work, size_t left)
{
    const rl_generate_t *generate = work->generate;
    prompt_t *out = work->out;
    size_t left_out = 0;
    for (size_t at = 0; at < generate->passages_size; at++) {
        const rl_passage_t *passage = &generate->passages[at];
        if (work->trims && work->cuts[at].left_out) {
            left_out++;
            continue;
        }
        const prompt_cut_t *cut = work->trims ? &work->cuts[at] : NULL;
        size_t text_size = cut ? cut->size : strlen(passage->text);
        rl_buf_clear(&work->scratch);
        render_passage(work->template, passage, at + 1, text_size, cut, &work->scratch);
        size_t tokens = prompt_tokens(work->scratch.data, work->scratch.size) + 1;
        if (tokens > left && at == 0) {
            size_t around = tokens - prompt_tokens(passage->text, text_size);
            text_size = left > around + SHORTEST_PASSAGE
                            ? fitting_sentences(passage->text, left - around - 2)
                            : 0;
            rl_buf_clear(&work->scratch);
            render_passage(work->template, passage, 1, text_size, NULL, &work->scratch);
            tokens = prompt_tokens(work->scratch.data, work->scratch.size) + 1;
            out->shortened = text_size > 0;
        }
        if (tokens > left || text_size == 0 || work->scratch.full) {
            out->passages_dropped = generate->passages_size - at;
            break;
        }
        if (work->passages.size > 0)
            rl_buf_adds(&work->passages, "\n\n");
        rl_buf_add(&work->passages, work->scratch.data, work->scratch.size);
        out->passages_used = at + 1;
        out->left_out = left_out;
        left -= tokens;
    }
    return left;
}

// Keeps turns from the newest on while they fit into `left` tokens. Returns the tokens left.
static size_t keep_turns(work_t *work, size_t left)
{
    const rl_generate_t *generate = work->generate;
    for (size_t at = generate->turns_size; at-- > 0;) {
        const rl_turn_t *turn = &generate->turns[at];
        if (work->kept[at] || is_system(turn))
            continue;
        size_t tokens = prompt_tokens(turn->content, strlen(turn->content)) + MESSAGE_TOKENS;
        if (tokens > left)
            break;
        work->kept[at] = true;
        left -= tokens;
    }
    return left;
}

// Chat templates want the conversation to start with the user.
static void drop_leading_answers(work_t *work)
{
    const rl_generate_t *generate = work->generate;
    bool user = false;
    for (size_t at = 0; at < generate->turns_size; at++) {
        if (is_system(&generate->turns[at]))
            continue;
        user = user || (work->kept[at] && strcmp(generate->turns[at].role, "user") == 0);
        work->kept[at] = work->kept[at] && user;
        work->out->turns_used += work->kept[at];
        work->out->turns_dropped += !work->kept[at];
    }
}

static void write_turns(work_t *work)
{
    const rl_generate_t *generate = work->generate;
    for (size_t at = 0; at < generate->turns_size; at++) {
        const rl_turn_t *turn = &generate->turns[at];
        if (!work->kept[at])
            continue;
        if (work->turns.size == 0)
            rl_buf_adds(&work->turns, turns_head);
        rl_buf_addf(&work->turns, "%s: ", strcmp(turn->role, "user") == 0 ? "User" : "Assistant");
        rl_buf_adds(&work->turns, turn->content);
        rl_buf_adds(&work->turns, "\n");
    }
    if (work->turns.size > 0)
        rl_buf_adds(&work->turns, "\n");
}

static void gather_system(work_t *work)
{
    const rl_generate_t *generate = work->generate;
    for (size_t at = 0; at < generate->turns_size; at++) {
        if (!is_system(&generate->turns[at]))
            continue;
        if (work->system.size > 0)
            rl_buf_adds(&work->system, "\n\n");
        rl_buf_adds(&work->system, generate->turns[at].content);
    }
}

static void add_message(rl_buf_t *out, const char *role, const char *content, size_t size)
{
    rl_buf_adds(out, out->size == 1 ? "{\"role\":" : ",{\"role\":");
    rl_buf_add_json(out, role, strlen(role));
    rl_buf_adds(out, ",\"content\":");
    rl_buf_add_json(out, content ? content : "", size);
    rl_buf_adds(out, "}");
}

static bool has_passages(const template_section_t *section)
{
    for (size_t at = 0; at < section->size; at++)
        if (section->parts[at].what == PART_PASSAGES)
            return true;
    return false;
}

static void add_own(rl_buf_t *out, const char *before, const rl_buf_t *text, const char *behind)
{
    if (text->size == 0)
        return;
    rl_buf_adds(out, before);
    rl_buf_add(out, text->data, text->size);
    rl_buf_adds(out, behind);
}

// What the client says to the system stands before the passages: it is the same for every question
// of that client, and what is the same comes first.
static void render_section(const work_t *work, const template_section_t *section, rl_buf_t *out)
{
    bool system = section->kind == SECTION_SYSTEM, early = system && has_passages(section);
    if (early)
        add_own(out, "", &work->system, "\n\n");
    for (size_t at = 0; at < section->size; at++) {
        const template_part_t *part = &section->parts[at];
        switch (part->what) {
        case PART_TEXT:
            rl_buf_add(out, part->text, part->size);
            break;
        case PART_PASSAGES:
            rl_buf_add(out, work->passages.data, work->passages.size);
            break;
        case PART_TURNS:
            rl_buf_add(out, work->turns.data, work->turns.size);
            break;
        default: // {question}: see above
            rl_buf_adds(out, work->generate->question);
        }
    }
    if (system && !early)
        add_own(out, out->size > 0 ? "\n\n" : "", &work->system, "");
}

static void write_messages(work_t *work)
{
    const prompt_template_t *template = work->template;
    const rl_generate_t *generate = work->generate;
    rl_buf_t *out = &work->out->messages;
    rl_buf_adds(out, "[");
    if (!template->has_system && work->system.size > 0)
        add_message(out, "system", work->system.data, work->system.size);
    for (size_t at = 0; at < template->sections_size; at++) {
        const template_section_t *section = &template->sections[at];
        if (section->kind == SECTION_TURNS) {
            for (size_t turn = 0; turn < generate->turns_size; turn++)
                if (work->kept[turn])
                    add_message(out, generate->turns[turn].role, generate->turns[turn].content,
                                strlen(generate->turns[turn].content));
            continue;
        }
        rl_buf_clear(&work->scratch);
        render_section(work, section, &work->scratch);
        if (work->scratch.size > 0)
            add_message(out, section->kind == SECTION_SYSTEM ? "system" : "user",
                        work->scratch.data, work->scratch.size);
    }
    // the answer goes on where another generator lost it
    if (*generate->prefix)
        add_message(out, "assistant", generate->prefix, strlen(generate->prefix));
    rl_buf_adds(out, "]");
}

// Tokens of everything but passages and turns: rendered without them.
static size_t fixed_tokens(work_t *work)
{
    size_t tokens =
        MESSAGE_TOKENS + prompt_tokens(work->generate->prefix, strlen(work->generate->prefix));
    for (size_t at = 0; at < work->template->sections_size; at++) {
        if (work->template->sections[at].kind == SECTION_TURNS)
            continue;
        rl_buf_clear(&work->scratch);
        render_section(work, &work->template->sections[at], &work->scratch);
        tokens += prompt_tokens(work->scratch.data, work->scratch.size) + MESSAGE_TOKENS;
    }
    if (!work->template->has_system && work->system.size > 0)
        tokens += prompt_tokens(work->system.data, work->system.size) + MESSAGE_TOKENS;
    return tokens;
}

static int fill_prompt(work_t *work, size_t budget, size_t quick)
{
    gather_system(work);
    size_t fixed = fixed_tokens(work);
    if (fixed > budget) {
        work->out->tokens = fixed;
        return -1;
    }
    size_t left = budget - fixed, for_turns = left / 3;
    left = left - for_turns + keep_turns(work, for_turns);
    if (quick > 0)
        trim_passages(work, budget - left, quick);
    left = add_passages(work, left);
    if (work->template->has_turns)
        left = keep_turns(work, left);
    else
        memset(work->kept, 0, work->generate->turns_size * sizeof *work->kept);
    drop_leading_answers(work);
    write_turns(work);
    write_messages(work);
    work->out->tokens = budget - left;
    if (!work->passages.full && !work->turns.full && !work->system.full &&
        !work->out->messages.full)
        return 0;
    work->out->tokens = 0;
    return -1;
}

int prompt_build(const prompt_template_t *self, const rl_generate_t *generate, size_t budget,
                 size_t quick, prompt_t *out)
{
    *out = (prompt_t){.messages = rl_buf_make(PROMPT_MAX)};
    work_t work = {
        .template = self,
        .generate = generate,
        .passages = rl_buf_make(PROMPT_MAX),
        .turns = rl_buf_make(PROMPT_MAX),
        .system = rl_buf_make(PROMPT_MAX),
        .scratch = rl_buf_make(PROMPT_MAX),
        .kept = rl_alloc_array(generate->turns_size, sizeof *work.kept),
        .cuts = rl_alloc_array(generate->passages_size, sizeof *work.cuts),
        .out = out,
    };
    int rc = fill_prompt(&work, budget, quick);
    rl_buf_free(&work.passages);
    rl_buf_free(&work.turns);
    rl_buf_free(&work.system);
    rl_buf_free(&work.scratch);
    free(work.kept);
    free(work.cuts);
    return rc;
}

void prompt_free(prompt_t *prompt)
{
    rl_buf_free(&prompt->messages);
}
