// text_index: a shard's postings in a Xapian database, written and searched.
#include "text_index.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <vector>
#include <xapian.h>

#include "analyzer.h"

namespace
{

// BM25 (Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009) as
// Xapian::BM25Weight has it. Chosen by measuring on scifact's training questions; the lengths
// weight, k1 and the title's weight move nDCG@10 by less than .005 around here.
constexpr double k1 = 1.2, k2 = 0, k3 = 1, length_weight = 0.75, least_length = 0.5;

enum {
    MAX_QUERY_TERMS = 128, // of a question; the rarest ones of a longer one
};

// The weight of a term that `matching` of `passages` passages have, as Xapian's BM25Weight has it.
double inverse_frequency(double passages, double matching)
{
    double odds = (passages - matching + 0.5) / (matching + 0.5);
    if (odds < 2)
        odds = odds * 0.5 + 1;
    return std::log(odds);
}

analyzer_t *make_analyzer(const char *language)
{
    analyzer_t *terms = analyzer_new(language);
    if (!terms)
        throw Xapian::InvalidArgumentError(std::string("no rules for the language ") + language);
    return terms;
}

// Runs `work`, which may throw anything; turns it into `why` and returns `failed` then.
template <typename Result, typename Work>
Result guard_call(char *why, size_t why_size, Result failed, Work work)
{
    try {
        return work();
    } catch (const Xapian::Error &error) {
        snprintf(why, why_size, "%s", error.get_description().c_str());
    } catch (const std::exception &error) {
        snprintf(why, why_size, "%s", error.what());
    } catch (...) {
        snprintf(why, why_size, "unknown error");
    }
    return failed;
}

// Deletes what may throw as it closes a database.
template <typename Handle> void delete_guarded(Handle **self_p)
{
    char ignored[64];
    guard_call(ignored, sizeof ignored, 0, [&] {
        delete *self_p;
        return 0;
    });
    *self_p = nullptr;
}

} // namespace

// ---- writing ------------------------------------------------------------------------------------

struct text_writer {
    Xapian::WritableDatabase db;
    analyzer_t *terms = nullptr;

    ~text_writer()
    {
        analyzer_destroy(&terms);
    }
};

text_writer_t *text_writer_new(const char *path, const char *language, char *why, size_t why_size)
{
    return guard_call(why, why_size, static_cast<text_writer_t *>(nullptr), [&] {
        auto self = std::make_unique<text_writer>();
        self->terms = make_analyzer(language);
        // Without the terms of each document, which only changing a document would need.
        self->db = Xapian::WritableDatabase(path, Xapian::DB_CREATE | Xapian::DB_BACKEND_GLASS |
                                                      Xapian::DB_NO_TERMLIST | Xapian::DB_NO_SYNC);
        return self.release();
    });
}

int text_writer_add(text_writer_t *self, uint64_t id, const char *title, const char *heading,
                    const char *text, char *why, size_t why_size)
{
    return guard_call(why, why_size, -1, [&] {
        Xapian::Document document;
        const char *const texts[] = {title, heading, text};
        analyzer_index(self->terms, texts, 3, document);
        if (self->db.add_document(document) != id)
            throw Xapian::InvalidArgumentError("passages were not added in the order of their ids");
        return 0;
    });
}

int text_writer_finish(text_writer_t **self_p, char *why, size_t why_size)
{
    int rc = guard_call(why, why_size, -1, [&] {
        (*self_p)->db.commit();
        (*self_p)->db.close();
        return 0;
    });
    text_writer_destroy(self_p);
    return rc;
}

void text_writer_destroy(text_writer_t **self_p)
{
    delete_guarded(self_p);
}

int text_merge(const char *const *from, size_t size, const char *path, char *why, size_t why_size)
{
    return guard_call(why, why_size, -1, [&] {
        Xapian::Database all;
        for (size_t at = 0; at < size; at++)
            all.add_database(Xapian::Database(from[at], Xapian::DB_BACKEND_GLASS));
        all.compact(path);
        return 0;
    });
}

// ---- searching ----------------------------------------------------------------------------------

struct text_index {
    Xapian::Database db;
    analyzer_t *terms = nullptr;

    ~text_index()
    {
        analyzer_destroy(&terms);
    }
};

namespace
{

// A term of a question.
struct query_term {
    std::string name;
    double times;              // in the question
    Xapian::doccount passages; // that have it
};

// The terms of a question, the rarest MAX_QUERY_TERMS of them: term by term, so that no word is
// ever read as an operator.
std::vector<query_term> take_terms(text_index_t *self, const char *text)
{
    Xapian::Document question;
    analyzer_index(self->terms, &text, 1, question);
    std::vector<query_term> terms;
    for (auto at = question.termlist_begin(); at != question.termlist_end(); ++at)
        terms.push_back({*at, static_cast<double>(at.get_wdf()), self->db.get_termfreq(*at)});
    if (terms.size() > MAX_QUERY_TERMS) {
        // words that no passage has come last
        auto rank = [](const query_term &term) { return term.passages - 1; };
        std::nth_element(terms.begin(), terms.begin() + MAX_QUERY_TERMS, terms.end(),
                         [&](const query_term &one, const query_term &other) {
                             return rank(one) < rank(other);
                         });
        terms.resize(MAX_QUERY_TERMS);
    }
    return terms;
}

// What a passage would score at most that had every term of the question often, the terms that no
// passage has included: Xapian's get_max_possible leaves those out, but a question asked in
// other words than the passages' must not look well covered. Shards with different idf become
// comparable by it.
double highest_weight(const std::vector<query_term> &terms, double passages)
{
    double sum = 0;
    for (const query_term &term : terms)
        sum += text_term_weight(passages, term.passages, term.times);
    return text_term_most() * sum;
}

// The passages of a selection as a list of postings, which leads the search: of few passages only
// those are looked at, however many the question's words have.
class selected_postings : public Xapian::PostingSource
{
    const selection_t *selection;
    Xapian::docid id = 0; // before the first

    void seek_from(Xapian::docid from)
    {
        size_t position = from - 1, word = position / 64, words = selection_words(selection);
        uint64_t left = word < words ? selection->bits[word] >> position % 64 << position % 64 : 0;
        while (!left && ++word < words)
            left = selection->bits[word];
        id = left ? static_cast<Xapian::docid>(word * 64 + __builtin_ctzll(left) + 1)
                  : static_cast<Xapian::docid>(selection->count + 1);
    }

  public:
    explicit selected_postings(const selection_t *of) : selection(of)
    {
    }
    Xapian::doccount get_termfreq_min() const override
    {
        return static_cast<Xapian::doccount>(selection->size);
    }
    Xapian::doccount get_termfreq_est() const override
    {
        return static_cast<Xapian::doccount>(selection->size);
    }
    Xapian::doccount get_termfreq_max() const override
    {
        return static_cast<Xapian::doccount>(selection->size);
    }
    void next(double) override
    {
        seek_from(id + 1);
    }
    void skip_to(Xapian::docid from, double) override
    {
        if (from > id)
            seek_from(from);
    }
    bool check(Xapian::docid from, double) override
    {
        if (from > id)
            id = from;
        return at_end() || selection_has(selection, id - 1);
    }
    bool at_end() const override
    {
        return id > selection->count;
    }
    Xapian::docid get_docid() const override
    {
        return id;
    }
    void init(const Xapian::Database &) override
    {
        id = 0;
    }
};

long search_terms(text_index_t *self, const char *text, size_t k, const selection_t *selection,
                  uint64_t *ids, double *scores, double *bound)
{
    *bound = 0;
    std::vector<query_term> terms = take_terms(self, text);
    if (terms.empty() || self->db.get_doccount() == 0)
        return 0;
    *bound = highest_weight(terms, self->db.get_doccount());
    std::vector<Xapian::Query> parts;
    for (const query_term &term : terms)
        if (term.passages > 0)
            parts.emplace_back(term.name, static_cast<Xapian::termcount>(term.times));
    Xapian::Enquire enquire(self->db);
    Xapian::Query words(Xapian::Query::OP_OR, parts.begin(), parts.end());
    std::unique_ptr<selected_postings> list;
    if (selection) {
        list = std::make_unique<selected_postings>(selection);
        words = Xapian::Query(Xapian::Query::OP_FILTER, words, Xapian::Query(list.get()));
    }
    enquire.set_query(words);
    enquire.set_weighting_scheme(Xapian::BM25Weight(k1, k2, k3, length_weight, least_length));
    enquire.set_docid_order(Xapian::Enquire::ASCENDING);
    Xapian::MSet found = enquire.get_mset(0, static_cast<Xapian::doccount>(k));
    long size = 0;
    for (Xapian::MSetIterator at = found.begin(); at != found.end(); ++at, ++size) {
        ids[size] = *at;
        scores[size] = at.get_weight();
    }
    return size;
}

} // namespace

text_index_t *text_index_new(const char *path, const char *language, char *why, size_t why_size)
{
    return guard_call(why, why_size, static_cast<text_index_t *>(nullptr), [&] {
        auto self = std::make_unique<text_index>();
        self->terms = make_analyzer(language);
        self->db = Xapian::Database(path, Xapian::DB_BACKEND_GLASS);
        return self.release();
    });
}

void text_index_destroy(text_index_t **self_p)
{
    delete_guarded(self_p);
}

uint64_t text_index_count(const text_index_t *self)
{
    char ignored[64];
    return guard_call(ignored, sizeof ignored, uint64_t{0},
                      [&] { return uint64_t{self->db.get_doccount()}; });
}

long text_index_search(text_index_t *self, const char *text, size_t k, const selection_t *selection,
                       uint64_t *ids, double *scores, double *bound, char *why, size_t why_size)
{
    return guard_call(why, why_size, -1L,
                      [&] { return search_terms(self, text, k, selection, ids, scores, bound); });
}

void text_index_terms(text_index_t *self, const char *const *terms, size_t size, uint64_t *passages,
                      double *length)
{
    char ignored[64];
    std::fill(passages, passages + size, 0);
    *length = 0;
    guard_call(ignored, sizeof ignored, 0, [&] {
        for (size_t at = 0; at < size; at++)
            passages[at] = self->db.get_termfreq(terms[at]);
        *length = self->db.get_avlength();
        return 0;
    });
}

double text_term_weight(double passages, double matching, double times)
{
    return inverse_frequency(passages, matching) * (k3 + 1) * times / (k3 + times);
}

double text_term_share(double times, double length)
{
    double folded = (1 - length_weight) + length_weight * std::max(length, least_length);
    return (k1 + 1) * times / (k1 * folded + times);
}

double text_term_most(void)
{
    return k1 + 1;
}
