// merge: candidates from all sources into one order.
#include "merge.h"

#include <stdlib.h>
#include <string.h>

#include "mem.h"

// Reciprocal rank fusion's constant: Cormack, Clarke, Büttcher 2009, "Reciprocal rank fusion
// outperforms Condorcet and individual rank learning methods".
static const double RRF_K = 60;

// One passage, found by one kind or by several.
typedef struct candidate {
    const merge_input_t *from; // where the copy of the passage came from
    const rl_passage_t *passage;
    bool found[KINDS];
    double score[KINDS];
    size_t rank[KINDS]; // from 1, across the shards
    double fused;
} candidate_t;

typedef struct table {
    candidate_t *items;
    size_t size;
    uint32_t *slots; // open addressing: index + 1 of an item, 0 free
    size_t mask;
} table_t;

static uint64_t mix_bits(uint64_t x) // MurmurHash3's finalizer: every bit reaches every other
{
    x = (x ^ x >> 33) * 0xff51afd7ed558ccdu;
    x = (x ^ x >> 33) * 0xc4ceb9fe1a85ec53u;
    return x ^ x >> 33;
}

static void table_make(table_t *table, size_t room)
{
    size_t slots = 16;
    while (slots < room * 2)
        slots *= 2;
    table->items = rl_alloc_array(room, sizeof *table->items);
    table->slots = rl_alloc_array(slots, sizeof *table->slots);
    table->size = 0;
    table->mask = slots - 1;
}

static void table_free(table_t *table)
{
    free(table->items);
    free(table->slots);
}

static bool same_passage(const candidate_t *item, const merge_input_t *from, uint64_t id)
{
    return item->passage->id == id && item->from->shard == from->shard &&
           strcmp(item->from->collection, from->collection) == 0;
}

static candidate_t *find_or_add(table_t *table, const merge_input_t *from,
                                const rl_passage_t *passage)
{
    size_t at = mix_bits(passage->id * 31 + from->shard) & table->mask;
    for (; table->slots[at]; at = (at + 1) & table->mask)
        if (same_passage(&table->items[table->slots[at] - 1], from, passage->id))
            return &table->items[table->slots[at] - 1];
    candidate_t *item = &table->items[table->size++];
    table->slots[at] = (uint32_t)table->size;
    *item = (candidate_t){.from = from, .passage = passage};
    return item;
}

// BM25 weights of different shards and questions do not compare: idf differs. Their share of the
// most that the question could have scored in that shard (absent words included) does, and lies
// between 0 and 1 as a cosine does.
static double comparable_score(const merge_input_t *input, const rl_passage_t *passage)
{
    if (input->kind != KIND_LEXICAL)
        return passage->score;
    double bound = input->hits->bound > 0 ? input->hits->bound : input->hits->hits[0].score;
    return bound > 0 ? passage->score / bound : 0;
}

static void add_input(table_t *table, const merge_input_t *input)
{
    for (size_t at = 0; at < input->hits->hits_size; at++) {
        const rl_passage_t *passage = &input->hits->hits[at];
        candidate_t *item = find_or_add(table, input, passage);
        double score = comparable_score(input, passage);
        if (item->found[input->kind] && item->score[input->kind] >= score)
            continue;
        item->found[input->kind] = true;
        item->score[input->kind] = score;
    }
}

// A stable order for equal scores, so that the same question gives the same prompt.
static int compare_places(const candidate_t *a, const candidate_t *b)
{
    int names = strcmp(a->from->collection, b->from->collection);
    if (names != 0)
        return names;
    if (a->from->shard != b->from->shard)
        return a->from->shard < b->from->shard ? -1 : 1;
    return a->passage->id < b->passage->id ? -1 : a->passage->id > b->passage->id;
}

// Best first by the score of one kind.
static int by_kind(const void *a, const void *b, void *arg)
{
    const candidate_t *x = *(candidate_t *const *)a, *y = *(candidate_t *const *)b;
    kind_t kind = *(const kind_t *)arg;
    if (x->score[kind] != y->score[kind])
        return x->score[kind] > y->score[kind] ? -1 : 1;
    return compare_places(x, y);
}

static int by_fused(const void *a, const void *b)
{
    const candidate_t *x = *(candidate_t *const *)a, *y = *(candidate_t *const *)b;
    if (x->fused != y->fused)
        return x->fused > y->fused ? -1 : 1;
    return compare_places(x, y);
}

// The candidates of one kind, best first, at most settings->candidates of them (what is further
// down counts as not found); returns their number and fills their ranks.
static size_t order_kind(table_t *table, kind_t kind, const merge_settings_t *settings,
                         candidate_t **order)
{
    size_t size = 0;
    for (size_t at = 0; at < table->size; at++)
        if (table->items[at].found[kind])
            order[size++] = &table->items[at];
    qsort_r(order, size, sizeof *order, by_kind, &kind);
    for (; size > settings->candidates; size--)
        order[size - 1]->found[kind] = false;
    for (size_t at = 0; at < size; at++)
        order[at]->rank[kind] = at + 1;
    return size;
}

// What a passage gets for a kind that did not find it. A dense search always fills its list, so
// the passage's cosine is below the last one; a lexical list that is not full has named all
// passages with any of the words.
static double floor_score(kind_t kind, size_t size, const merge_settings_t *settings,
                          candidate_t **order)
{
    if (kind == KIND_LEXICAL && size < settings->candidates)
        return 0;
    return order[size - 1]->score[kind];
}

// Adds one kind's share to the fused scores. A kind that found nothing adds nothing to any.
//
// Convex combination of scores that mean something by themselves: Bruch, Gai, Ingber 2023, "An
// Analysis of Fusion Functions for Hybrid Retrieval" (there, as measured here with tests/eval, it
// does better than reciprocal ranks).
static void fuse_kind(table_t *table, kind_t kind, const merge_settings_t *settings,
                      candidate_t **order)
{
    size_t size = order_kind(table, kind, settings, order);
    if (size == 0)
        return;
    double weight = settings->weights[kind];
    double missing = floor_score(kind, size, settings, order);
    for (size_t at = 0; at < table->size; at++) {
        candidate_t *item = &table->items[at];
        if (settings->fusion == FUSION_CONVEX)
            item->fused += weight * (item->found[kind] ? item->score[kind] : missing);
        else if (item->found[kind])
            item->fused += weight / (RRF_K + (double)item->rank[kind]);
    }
}

static size_t count_kinds(const merge_input_t *inputs, size_t size, kind_t *only)
{
    bool there[KINDS] = {false};
    size_t count = 0;
    for (size_t at = 0; at < size; at++)
        there[inputs[at].kind] |= inputs[at].hits->hits_size > 0;
    for (int kind = 0; kind < KINDS; kind++) {
        if (there[kind])
            *only = (kind_t)kind;
        count += there[kind];
    }
    return count;
}

// ---- result -------------------------------------------------------------------------------------

// The next character of a text with white space folded; behind its end, 0.
static char next_folded(const char **at)
{
    size_t space = strspn(*at, " \t\n\v\f\r");
    *at += space;
    if (space > 0 && **at)
        return ' ';
    return **at ? *(*at)++ : '\0';
}

// Whether two texts are the same but for white space, as those of one hash are unless somebody has
// made them collide.
static bool has_same_text(const char *one, const char *other)
{
    char next;
    one += strspn(one, " \t\n\v\f\r");
    other += strspn(other, " \t\n\v\f\r");
    do {
        next = next_folded(&one);
        if (next != next_folded(&other))
            return false;
    } while (next);
    return true;
}

static bool is_repeated(candidate_t **chosen, size_t size, const candidate_t *item)
{
    for (size_t at = 0; at < size; at++) {
        const rl_passage_t *other = chosen[at]->passage;
        if (other->hash == item->passage->hash && other->hash != 0 &&
            has_same_text(other->text, item->passage->text))
            return true;
    }
    return false;
}

static size_t text_size(const rl_passage_t *p)
{
    return strlen(p->doc) + strlen(p->title) + strlen(p->heading) + strlen(p->source) +
           strlen(p->text) + strlen(p->meta) + 6;
}

static const char *put_text(char **at, const char *text)
{
    char *start = *at;
    size_t size = strlen(text) + 1;
    memcpy(start, text, size);
    *at += size;
    return start;
}

// One block: the answer passages, the passages, their strings.
static merged_passage_t *copy_out(candidate_t **chosen, size_t size)
{
    size_t strings = 0;
    for (size_t at = 0; at < size; at++)
        strings += text_size(chosen[at]->passage);
    merged_passage_t *out = rl_alloc(size * (sizeof *out + sizeof(rl_passage_t)) + strings + 1);
    rl_passage_t *passages = (rl_passage_t *)(out + size);
    char *text = (char *)(passages + size);
    for (size_t at = 0; at < size; at++) {
        const candidate_t *item = chosen[at];
        const rl_passage_t *from = item->passage;
        passages[at] = *from;
        passages[at].doc = put_text(&text, from->doc);
        passages[at].title = put_text(&text, from->title);
        passages[at].heading = put_text(&text, from->heading);
        passages[at].source = put_text(&text, from->source);
        passages[at].text = put_text(&text, from->text);
        passages[at].meta = put_text(&text, from->meta);
        passages[at].score = item->fused;
        out[at] = (merged_passage_t){.passage = &passages[at],
                                     .collection = item->from->collection,
                                     .shard = item->from->shard,
                                     .score = item->fused};
        memcpy(out[at].kinds, item->found, sizeof item->found);
    }
    return out;
}

merged_passage_t *merge_inputs(const merge_input_t *inputs, size_t inputs_size,
                               const merge_settings_t *settings, size_t *size)
{
    size_t room = 0;
    for (size_t at = 0; at < inputs_size; at++)
        room += inputs[at].hits->hits_size;
    table_t table;
    table_make(&table, room);
    for (size_t at = 0; at < inputs_size; at++)
        add_input(&table, &inputs[at]);

    candidate_t **order = rl_alloc_array(table.size + 1, sizeof(candidate_t *));
    kind_t only = KIND_DENSE;
    if (count_kinds(inputs, inputs_size, &only) <= 1) {
        for (size_t at = 0; at < table.size; at++)
            table.items[at].fused = table.items[at].score[only];
    } else {
        for (int kind = 0; kind < KINDS; kind++)
            fuse_kind(&table, (kind_t)kind, settings, order);
    }
    for (size_t at = 0; at < table.size; at++)
        order[at] = &table.items[at];
    qsort(order, table.size, sizeof(candidate_t *), by_fused);

    size_t chosen = 0;
    for (size_t at = 0; at < table.size && chosen < settings->k; at++)
        if (!is_repeated(order, chosen, order[at]))
            order[chosen++] = order[at];
    merged_passage_t *out = copy_out(order, chosen);
    *size = chosen;
    free(order);
    table_free(&table);
    return out;
}

void merge_free(merged_passage_t **passages_p)
{
    free(*passages_p);
    *passages_p = NULL;
}
