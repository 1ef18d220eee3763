// text_index: a shard's postings in a Xapian database, written and searched.
#include "text_index.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <new>
#include <string>
#include <vector>
#include <xapian.h>

#include "terms.h"

namespace {

// BM25 (Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009) as
// Xapian::BM25Weight has it: k1, k2, k3, b, and the least length that lengths are normalised by.
const Xapian::BM25Weight weighting(1.2, 0, 1000, 0.75, 0.0);

enum {
    MAX_QUERY_TERMS = 64, // of a question; the rarest ones of a longer one
};

// Runs `work`, which may throw anything; turns it into `why` and returns `failed` then.
template <typename Result, typename Work>
Result guarded(char *why, size_t why_size, Result failed, Work work) {
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

} // namespace

// ---- writing ------------------------------------------------------------------------------------

struct rl_text_writer {
    Xapian::WritableDatabase db;
    rl_terms_t *terms = nullptr;

    ~rl_text_writer() {
        rl_terms_destroy(&terms);
    }
};

static void add_term(void *arg, const char *term, size_t size, bool) {
    static_cast<Xapian::Document *>(arg)->add_term(std::string(term, size));
}

rl_text_writer_t *rl_text_writer_new(const char *path, const char *language, char *why,
                                     size_t why_size) {
    return guarded(why, why_size, static_cast<rl_text_writer_t *>(nullptr), [&] {
        auto self = std::make_unique<rl_text_writer>();
        self->terms = rl_terms_new(language);
        if (!self->terms)
            throw Xapian::InvalidArgumentError(std::string("no rules for the language ") +
                                               language);
        // Without the terms of each document, which only changing a document would need.
        self->db = Xapian::WritableDatabase(path, Xapian::DB_CREATE | Xapian::DB_BACKEND_GLASS |
                                                      Xapian::DB_NO_TERMLIST | Xapian::DB_NO_SYNC);
        return self.release();
    });
}

int rl_text_writer_add(rl_text_writer_t *self, uint64_t id, const char *title, const char *heading,
                       const char *text, char *why, size_t why_size) {
    return guarded(why, why_size, -1, [&] {
        Xapian::Document document;
        for (const char *field : {title, heading, text})
            rl_terms_each(self->terms, field, strlen(field), add_term, &document);
        if (self->db.add_document(document) != id)
            throw Xapian::InvalidArgumentError("passages were not added in the order of their ids");
        return 0;
    });
}

int rl_text_writer_finish(rl_text_writer_t **self_p, char *why, size_t why_size) {
    int rc = guarded(why, why_size, -1, [&] {
        (*self_p)->db.commit();
        (*self_p)->db.close();
        return 0;
    });
    rl_text_writer_destroy(self_p);
    return rc;
}

void rl_text_writer_destroy(rl_text_writer_t **self_p) {
    char ignored[64];
    guarded(ignored, sizeof ignored, 0, [&] {
        delete *self_p;
        return 0;
    });
    *self_p = nullptr;
}

// ---- searching ----------------------------------------------------------------------------------

struct rl_text_reader {
    Xapian::Database db;
    rl_terms_t *terms = nullptr;

    ~rl_text_reader() {
        rl_terms_destroy(&terms);
    }
};

namespace {

struct question {
    std::map<std::string, unsigned> words, common; // term → how often; stop words apart
};

void take_term(void *arg, const char *term, size_t size, bool stop) {
    auto *asked = static_cast<question *>(arg);
    (stop ? asked->common : asked->words)[std::string(term, size)]++;
}

// Term by term, so that no word is ever read as an operator.
Xapian::Query make_query(rl_text_reader_t *self, const char *text) {
    question asked;
    rl_terms_each(self->terms, text, strlen(text), take_term, &asked);
    struct term {
        Xapian::doccount passages;
        const std::string *name;
        unsigned times;
    };
    std::vector<term> terms;
    for (const auto &[name, times] : asked.words.empty() ? asked.common : asked.words) {
        Xapian::doccount passages = self->db.get_termfreq(name);
        if (passages > 0)
            terms.push_back({passages, &name, times});
    }
    if (terms.size() > MAX_QUERY_TERMS) {
        std::nth_element(terms.begin(), terms.begin() + MAX_QUERY_TERMS, terms.end(),
                         [](const term &a, const term &b) { return a.passages < b.passages; });
        terms.resize(MAX_QUERY_TERMS);
    }
    std::vector<Xapian::Query> parts;
    for (const term &each : terms)
        parts.emplace_back(*each.name, each.times);
    return Xapian::Query(Xapian::Query::OP_OR, parts.begin(), parts.end());
}

long search(rl_text_reader_t *self, const char *text, size_t k, uint64_t *ids, double *scores,
            double *bound) {
    *bound = 0;
    Xapian::Query query = make_query(self, text);
    if (query.empty())
        return 0;
    Xapian::Enquire enquire(self->db);
    enquire.set_query(query);
    enquire.set_weighting_scheme(weighting);
    enquire.set_docid_order(Xapian::Enquire::ASCENDING);
    Xapian::MSet found = enquire.get_mset(0, static_cast<Xapian::doccount>(k));
    long size = 0;
    for (Xapian::MSetIterator at = found.begin(); at != found.end(); ++at, ++size) {
        ids[size] = *at;
        scores[size] = at.get_weight();
    }
    *bound = found.get_max_possible();
    return size;
}

} // namespace

rl_text_reader_t *rl_text_reader_new(const char *path, const char *language, char *why,
                                     size_t why_size) {
    return guarded(why, why_size, static_cast<rl_text_reader_t *>(nullptr), [&] {
        auto self = std::make_unique<rl_text_reader>();
        self->terms = rl_terms_new(language);
        if (!self->terms)
            throw Xapian::InvalidArgumentError(std::string("no rules for the language ") +
                                               language);
        self->db = Xapian::Database(path, Xapian::DB_BACKEND_GLASS);
        return self.release();
    });
}

void rl_text_reader_destroy(rl_text_reader_t **self_p) {
    char ignored[64];
    guarded(ignored, sizeof ignored, 0, [&] {
        delete *self_p;
        return 0;
    });
    *self_p = nullptr;
}

uint64_t rl_text_reader_count(const rl_text_reader_t *self) {
    char ignored[64];
    return guarded(ignored, sizeof ignored, uint64_t{0},
                   [&] { return uint64_t{self->db.get_doccount()}; });
}

long rl_text_reader_search(rl_text_reader_t *self, const char *text, size_t k, uint64_t *ids,
                           double *scores, double *bound, char *why, size_t why_size) {
    return guarded(why, why_size, -1L, [&] { return search(self, text, k, ids, scores, bound); });
}
