// openai_finish: what a server's finish_reason means.
#include "openai_finish.h"

#include <stddef.h>
#include <strings.h>

// Gathered from what OpenAI, Azure, Anthropic, Gemini, Cohere, Mistral, DeepSeek, Zhipu, vLLM,
// SGLang, TGI, Ollama and OpenRouter send; case does not matter.
static const struct {
    const char *said, *means;
} names[] = {
    {"", NULL},
    {"null", NULL},
    {"none", NULL},
    {"nil", NULL},
    {"undefined", NULL},
    {"unfinished", NULL},
    {"in_progress", NULL},
    {"length", "length"},
    {"max_tokens", "length"},
    {"max_output_tokens", "length"},
    {"max_length", "length"},
    {"model_length", "length"},
    {"model_context_window_exceeded", "length"},
    {"content_filter", "content_filter"},
    {"content_filtered", "content_filter"},
    {"safety", "content_filter"},
    {"recitation", "content_filter"},
    {"blocklist", "content_filter"},
    {"prohibited_content", "content_filter"},
    {"spii", "content_filter"},
    {"refusal", "content_filter"},
    {"sensitive", "content_filter"},
    {"guardrail_intervened", "content_filter"},
    {"error_toxic", "content_filter"},
    {"tool_calls", "tool_calls"},
    {"tool_call", "tool_calls"},
    {"tool_use", "tool_calls"},
    {"function_call", "function_call"},
    {"error", "error"},
    {"error_limit", "error"},
    {"abort", "error"},
    {"aborted", "error"},
    {"cancelled", "error"},
    {"canceled", "error"},
    {"failed", "error"},
    {"timeout", "error"},
    {"network_error", "error"},
    {"overloaded", "error"},
    {"insufficient_system_resource", "error"},
    {"malformed_function_call", "error"},
};

const char *openai_finish(const char *said)
{
    for (size_t at = 0; at < sizeof names / sizeof *names; at++)
        if (strcasecmp(said, names[at].said) == 0)
            return names[at].means;
    return "stop";
}
