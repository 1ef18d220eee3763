#include "settings.h"

#include <string.h>

settings_t settings_read(const rl_conf_t *conf)
{
    return (settings_t){
        .k = (unsigned)rl_conf_int(conf, "gateway.k"),
        .candidates = (unsigned)rl_conf_int(conf, "gateway.candidates"),
        .quorum = (unsigned)rl_conf_int(conf, "gateway.quorum"),
        .fusion =
            strcmp(rl_conf_str(conf, "gateway.fusion"), "rrf") == 0 ? FUSION_RRF : FUSION_CONVEX,
        .weights = {[KIND_DENSE] = rl_conf_num(conf, "gateway.weight_dense"),
                    [KIND_LEXICAL] = rl_conf_num(conf, "gateway.weight_lexical")},
        .soft_ms = rl_conf_int(conf, "gateway.soft_ms"),
        .hard_ms = rl_conf_int(conf, "gateway.hard_ms"),
        .timeout_ms = rl_conf_int(conf, "gateway.timeout_ms"),
        .grace_ms = rl_conf_int(conf, "gateway.grace_ms"),
        .max_in_flight = (size_t)rl_conf_int(conf, "gateway.max_in_flight"),
        .max_outstanding = (size_t)rl_conf_int(conf, "gateway.max_outstanding"),
        .client_buffer = (size_t)rl_conf_int(conf, "gateway.client_buffer"),
        .window = (unsigned)rl_conf_int(conf, "gateway.window"),
        .share = rl_conf_bool(conf, "cache.share"),
        .semantic = rl_conf_num(conf, "cache.semantic"),
        .prefill = rl_conf_bool(conf, "gateway.prefill"),
        .part_prefixes = rl_conf_bool(conf, "gateway.part_prefixes"),
        .drafts = (size_t)rl_conf_int(conf, "gateway.drafts"),
        .provisional_ms = rl_conf_int(conf, "gateway.provisional_ms"),
        .provisional_quorum = rl_conf_num(conf, "gateway.provisional_quorum"),
        .quick_answer = rl_conf_bool(conf, "gateway.quick_answer"),
        .progressive_ms = rl_conf_int(conf, "gateway.progressive_ms"),
        .provisional_share = rl_conf_num(conf, "gateway.provisional_share"),
        .hedge_share = rl_conf_num(conf, "gateway.hedge_share"),
        .rewrite = strcmp(rl_conf_str(conf, "gateway.rewrite"), "llm") == 0,
    };
}
