// metrics_counters: all counters, the one list that the enum, the text of the metrics and the live
// view are made of. Included where COUNTER and LIVE_COUNTER are defined; has no include guard.
//
// COUNTER: its family, labels and help text; NULL for the help where the family is that of the row
// before, NULL for both where its family has a series by code (failures).
//
// LIVE_COUNTER: also counted by second in the live view, under this name.
LIVE_COUNTER(QUESTIONS, "ragline_questions_total", "", "Questions taken.", "questions")
LIVE_COUNTER(DONE, "ragline_answers_total", "", "Questions answered completely.", "answers")
LIVE_COUNTER(FAILED, NULL, "", NULL, "failed")
LIVE_COUNTER(CANCELLED, "ragline_cancellations_total", "",
             "Questions whose client went away before the end, or stopped them.", "cancelled")
LIVE_COUNTER(INCOMPLETE, "ragline_incomplete_total", "",
             "Answers whose passages do not come from all sources.", "incomplete")
COUNTER(ASKED, "ragline_sources_asked_total", "",
        "Sources (shard by kind) that questions should have been answered from.")
COUNTER(ANSWERED, "ragline_sources_answered_total", "", "Of those, sources that answered in time.")
COUNTER(CONTINUATIONS, "ragline_continuations_total", "",
        "Times that another generator went on with an answer.")
COUNTER(PASSAGES_REPEATED, "ragline_trimmed_passages_total", "how=\"repeated\"",
        "Passages left out of prompts, since a better one says the same, "
        "or cut, so that they are read in time, or left out because a message had no room.")
COUNTER(PASSAGES_CUT, "ragline_trimmed_passages_total", "how=\"cut\"", NULL)
COUNTER(PASSAGES_LEFT_OUT, "ragline_trimmed_passages_total", "how=\"left_out\"", NULL)
LIVE_COUNTER(REFUSED, "ragline_refusals_total", "reason=\"too_many_questions\"",
             "Questions refused with status 429.", "refused")
COUNTER(REFUSED_RATE, "ragline_refusals_total", "reason=\"rate_limit_exceeded\"", NULL)
LIVE_COUNTER(TOKENS, "ragline_tokens_total", "",
             "Pieces of answers relayed from generators to clients.", "tokens")
LIVE_COUNTER(RETRIES, "ragline_retries_total", "", "Tasks sent again to another worker.", "retries")
LIVE_COUNTER(SEARCHES, "ragline_searches_total", "", "Search tasks sent, hedges not counted.",
             "searches")
LIVE_COUNTER(HEDGES, "ragline_hedges_total", "",
             "Search tasks sent to a second replica because the first was slow.", "hedges")
LIVE_COUNTER(HEDGES_WON, "ragline_hedges_won_total", "", "Hedges that answered first.",
             "hedges_won")
COUNTER(EFFORT_LOWERED, "ragline_searches_effort_lowered_total", "",
        "Searches that looked at less of their index to answer in time.")
LIVE_COUNTER(GAPS, "ragline_token_gaps_total", "",
             "Gaps seen in the numbers of token streams (sent again, never shown).", "gaps")
LIVE_COUNTER(STRAYS, "ragline_stray_messages_total", "",
             "Messages of workers for tasks that nobody waits for.", "strays")
LIVE_COUNTER(EMBED_ERRORS, "ragline_embedding_errors_total", "",
             "Questions that the embedding server did not embed.", "embed_errors")
LIVE_COUNTER(FALLBACKS, "ragline_fallbacks_total", "",
             "Answers begun by another upstream than the first in the order.", "fallbacks")
LIVE_COUNTER(CACHE_HITS, "ragline_passage_cache_requests_total", "result=\"hit\"",
             "Questions by whether their passages were in the cache.", "cache_hits")
COUNTER(CACHE_MISSES, "ragline_passage_cache_requests_total", "result=\"miss\"", NULL)
LIVE_COUNTER(ANSWER_CACHE_HITS, "ragline_answer_cache_requests_total", "result=\"hit\"",
             "Questions by whether their answer was in the cache.", "answer_cache_hits")
COUNTER(ANSWER_CACHE_MISSES, "ragline_answer_cache_requests_total", "result=\"miss\"", NULL)
COUNTER(SEMANTIC_HITS, "ragline_semantic_hits_total", "",
        "Questions that took the passages of another one close to them.")
LIVE_COUNTER(RETRIEVALS_SHARED, "ragline_retrievals_shared_total", "",
             "Questions that waited for another's retrieval of the same.", "retrievals_shared")
LIVE_COUNTER(PREFILLS, "ragline_prefills_total", "",
             "Drafts whose passages a generator was asked to read ahead.", "prefills")
COUNTER(PREFILLS_USED, "ragline_prefills_used_total", "",
        "Questions that went to the generator that had read their passages.")
COUNTER(PROVISIONAL, "ragline_provisional_total", "",
        "Answers begun before all sources had answered.")
COUNTER(PROVISIONAL_KEPT, "ragline_provisional_kept_total", "",
        "Of those, answers whose passages did not change any more.")
COUNTER(PROGRESSIVE, "ragline_progressive_total", "",
        "Questions whose first passages went out before all sources answered.")
COUNTER(PREVIEWS, "ragline_quick_answers_total", "",
        "Quotations that went out for the time until the first token.")
