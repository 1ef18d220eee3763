// upstreams_read: llm.* and the sections [upstream NAME].
#include "upstreams_read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char section[] = "upstream";

// What a section does not set, llm.* sets.
static const char *text_of(const rl_conf_t *conf, const char *name, const char *key)
{
    char general[80];
    if (name && rl_conf_given_in(conf, section, name, key))
        return rl_conf_in(conf, section, name, key);
    snprintf(general, sizeof general, "llm.%s", key);
    return rl_conf_str(conf, general);
}

static long number_of(const rl_conf_t *conf, const char *name, const char *key)
{
    return (long)strtod(text_of(conf, name, key), NULL);
}

// What belongs to one server alone (address, model, key): llm.* sets none of it for a section.
static const char *own_of(const rl_conf_t *conf, const char *name, const char *key)
{
    char general[80];
    if (name)
        return rl_conf_in(conf, section, name, key);
    snprintf(general, sizeof general, "llm.%s", key);
    return rl_conf_str(conf, general);
}

static const char *template_file(const rl_conf_t *conf, const char *name, const char *model)
{
    if (name && rl_conf_given_in(conf, section, name, "template"))
        return rl_conf_in(conf, section, name, "template");
    if (*model && rl_conf_given_in(conf, "model", model, "template"))
        return rl_conf_in(conf, "model", model, "template");
    return rl_conf_str(conf, "llm.template");
}

// `name` NULL: the one of llm.*.
static bool read_one(upstream_plan_t *plan, const rl_conf_t *conf, const char *name, char *why,
                     size_t why_size)
{
    char problem[400] = "out of memory";
    snprintf(plan->name, sizeof plan->name, "%s", name ? name : "llm");
    if (name)
        snprintf(plan->where, sizeof plan->where, "[upstream %s] ", name);
    else
        snprintf(plan->where, sizeof plan->where, "llm.");
    plan->settings = (backend_settings_t){
        .where = plan->where,
        .url = own_of(conf, name, "url"),
        .model = own_of(conf, name, "model"),
        .key = own_of(conf, name, "key"),
        .params = text_of(conf, name, "params"),
        .connect_ms = number_of(conf, name, "connect_ms"),
        .first_token_ms = number_of(conf, name, "first_token_ms"),
        .idle_ms = number_of(conf, name, "idle_ms"),
        .warm_ms = number_of(conf, name, "warm_ms"),
        .prefill = text_of(conf, name, "prefill"),
    };
    plan->context_tokens = (size_t)number_of(conf, name, "context_tokens");
    plan->max_tokens = (size_t)number_of(conf, name, "max_tokens");
    plan->prefill_slots = (size_t)number_of(conf, name, "prefill_slots");
    plan->prefill_reserve = (size_t)number_of(conf, name, "prefill_reserve");
    plan->target_us = (uint64_t)number_of(conf, name, "target_first_token_ms") * 1000;
    plan->template = prompt_template_new(template_file(conf, name, plan->settings.model), problem,
                                         sizeof problem);
    if (!plan->template)
        snprintf(why, why_size, "%stemplate: %s", plan->where, problem);
    return plan->template != NULL;
}

static bool has_section(const rl_conf_t *conf, const char *name)
{
    for (size_t at = 0; at < rl_conf_sections(conf, section); at++)
        if (strcmp(rl_conf_section_at(conf, section, at), name) == 0)
            return true;
    return false;
}

static bool name_holds(const upstreams_plan_t *plan, const rl_conf_t *conf, const char *name,
                       char *why, size_t why_size)
{
    if (plan->size == UPSTREAMS_LLM) {
        snprintf(why, why_size, "llm.upstreams has more than %d names", UPSTREAMS_LLM);
        return false;
    }
    if (strlen(name) >= sizeof plan->llms[0].name || strcmp(name, "extractive") == 0) {
        snprintf(why, why_size, "llm.upstreams: an upstream cannot be called %s%s", name,
                 strcmp(name, "extractive") ? "" : " (llm.fallback = extractive comes last)");
        return false;
    }
    for (size_t at = 0; at < plan->size; at++)
        if (strcmp(plan->llms[at].name, name) == 0) {
            snprintf(why, why_size, "llm.upstreams names %s twice", name);
            return false;
        }
    if (!has_section(conf, name)) {
        snprintf(why, why_size, "llm.upstreams names %s, but there is no section [upstream %s]",
                 name, name);
        return false;
    }
    if (!*rl_conf_in(conf, section, name, "url")) {
        snprintf(why, why_size, "[upstream %s] needs a url, such as http://127.0.0.1:8081/v1",
                 name);
        return false;
    }
    return true;
}

bool upstreams_plan_read(upstreams_plan_t *plan, const rl_conf_t *conf, char *why, size_t why_size)
{
    size_t names = rl_conf_list_size(conf, "llm.upstreams");
    *plan = (upstreams_plan_t){0};
    for (size_t at = 0; at < names; at++) {
        const char *name = rl_conf_list_at(conf, "llm.upstreams", at);
        if (!name_holds(plan, conf, name, why, why_size) ||
            !read_one(&plan->llms[plan->size++], conf, name, why, why_size))
            return false;
    }
    if (names == 0 && *rl_conf_str(conf, "llm.url") &&
        !read_one(&plan->llms[plan->size++], conf, NULL, why, why_size))
        return false;
    plan->extractive =
        plan->size == 0 || strcmp(rl_conf_str(conf, "llm.fallback"), "extractive") == 0;
    return true;
}

void upstreams_plan_free(upstreams_plan_t *plan)
{
    for (size_t at = 0; at < plan->size; at++)
        prompt_template_destroy(&plan->llms[at].template);
}
