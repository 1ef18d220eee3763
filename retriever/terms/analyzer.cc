// analyzer: the terms of a text, to be indexed or searched.
#include "analyzer.h"

#include <cstring>
#include <memory>
#include <string>

extern "C" {
#include "mem.h"
#include "stopwords.h"
}

namespace
{

bool is_language_without_stems(const std::string &language)
{
    return language == "none" || language == "chinese" || language == "japanese" ||
           language == "korean";
}

// "en" and the like have a full name, too: the stemmer knows it.
std::string full_name(const Xapian::Stem &stem)
{
    std::string text = stem.get_description(); // "Xapian::Stem(english)"
    size_t open = text.find('(');
    return open == std::string::npos ? "" : text.substr(open + 1, text.size() - open - 2);
}

bool is_ascii_alnum(unsigned c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

} // namespace

struct analyzer {
    Xapian::TermGenerator generator;
    Xapian::Stem stem;
    Xapian::SimpleStopper stopper;

    explicit analyzer(const std::string &language)
    {
        std::string name = language;
        if (!is_language_without_stems(language)) {
            stem = Xapian::Stem(language);
            name = full_name(stem);
            generator.set_stemmer(stem);
        }
        const char *at = stopwords_of(name.c_str());
        while (*at) {
            size_t size = strcspn(at, " ");
            stopper.add(std::string(at, size));
            at += size + strspn(at + size, " ");
        }
        generator.set_stemming_strategy(stem.is_none() ? Xapian::TermGenerator::STEM_NONE
                                                       : Xapian::TermGenerator::STEM_ALL);
        generator.set_stopper(&stopper);
        generator.set_stopper_strategy(Xapian::TermGenerator::STOP_ALL);
        generator.set_flags(Xapian::TermGenerator::FLAG_CJK_NGRAM);
    }

    void add_term_of(Xapian::Document &document, const std::string &term) const
    {
        if (!term.empty() && term.size() <= TERM_MAX)
            document.add_term(term);
    }

    void add_parts(Xapian::Document &document, const std::string &word) const;
    void add_names(Xapian::Document &document, const char *text) const;
};

// The parts of a word that '_' holds together.
void analyzer::add_parts(Xapian::Document &document, const std::string &word) const
{
    for (size_t at = 0; at < word.size();) {
        size_t end = word.find('_', at);
        if (end == std::string::npos)
            end = word.size();
        std::string part = word.substr(at, end - at);
        if (!part.empty() && part.size() <= TERM_MAX && !stopper(part))
            add_term_of(document, stem(part));
        at = end + 1;
    }
}

// An option's name is one or two '-', then letters and digits that single '-' may join, where no
// word character and no '-' stands before it.
void analyzer::add_names(Xapian::Document &document, const char *text) const
{
    const Xapian::Utf8Iterator end;
    Xapian::Utf8Iterator at(text);
    unsigned before = ' ';
    std::string name;
    while (at != end) {
        unsigned c = *at;
        name.clear();
        if (c == '-' && before != '-' && !Xapian::Unicode::is_wordchar(before)) {
            Xapian::Utf8Iterator next = at;
            for (int dashes = 0; next != end && *next == '-' && dashes < 2; dashes++, ++next)
                name += '-';
            size_t prefix = name.size();
            while (next != end && name.size() <= TERM_MAX) {
                Xapian::Utf8Iterator after = next;
                ++after;
                bool joint =
                    *next == '-' && name.size() > prefix && after != end && is_ascii_alnum(*after);
                if (!joint && !is_ascii_alnum(*next))
                    break;
                name += static_cast<char>(Xapian::Unicode::tolower(*next));
                next = after;
            }
            if (name.size() > prefix)
                add_term_of(document, name);
        } else if (Xapian::Unicode::is_wordchar(c) && !Xapian::Unicode::is_wordchar(before)) {
            bool joined = false, fits = true;
            for (Xapian::Utf8Iterator word = at; word != end && Xapian::Unicode::is_wordchar(*word);
                 ++word) {
                joined = joined || *word == '_';
                fits = name.size() <= 4 * TERM_MAX;
                if (fits)
                    Xapian::Unicode::append_utf8(name, Xapian::Unicode::tolower(*word));
            }
            if (joined && fits)
                add_parts(document, name);
        }
        before = c;
        ++at;
    }
}

void analyzer_index(analyzer_t *self, const char *const *texts, size_t size,
                    Xapian::Document &document)
{
    self->generator.set_document(document);
    for (size_t at = 0; at < size; at++) {
        self->generator.index_text_without_positions(Xapian::Utf8Iterator(texts[at]));
        self->add_names(document, texts[at]);
    }
}

bool analyzer_knows(const char *language)
{
    try {
        if (is_language_without_stems(language))
            return true;
        Xapian::Stem stem(language);
        return *language != '\0';
    } catch (...) {
        return false;
    }
}

const char *analyzer_languages(void)
{
    try {
        static const std::string names =
            Xapian::Stem::get_available_languages() + " chinese japanese korean none";
        return names.c_str();
    } catch (...) {
        return "none";
    }
}

analyzer_t *analyzer_new(const char *language)
{
    try {
        return analyzer_knows(language) ? new analyzer(language) : nullptr;
    } catch (...) {
        rl_out_of_memory();
    }
}

void analyzer_destroy(analyzer_t **self_p)
{
    delete *self_p;
    *self_p = nullptr;
}

void analyzer_each(analyzer_t *self, const char *const *texts, size_t size, analyzer_fn *fn,
                   void *arg)
{
    try {
        Xapian::Document document;
        analyzer_index(self, texts, size, document);
        for (auto at = document.termlist_begin(); at != document.termlist_end(); ++at)
            fn(arg, (*at).c_str(), at.get_wdf());
    } catch (...) {
        rl_out_of_memory(); // a document that is not in a database has no other error
    }
}
