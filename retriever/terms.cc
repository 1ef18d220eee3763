// terms: what is indexed and asked of a text.
#include "terms.h"

#include <cstring>
#include <new>
#include <string>
#include <unordered_set>
#include <xapian.h>

extern "C" {
#include "stopwords.h"
}

namespace {

// Characters that hold the parts of a technical name together when they stand alone between two
// word characters.
bool is_joint(unsigned c) {
    return c == '_' || c == '-' || c == '.' || c == '/' || c == '+' || c == ':' || c == '@';
}

bool is_apostrophe(unsigned c) {
    return c == '\'' || c == 0x2019;
}

bool is_word(unsigned c) {
    return c != '_' && Xapian::Unicode::is_wordchar(c);
}

// Scripts written without spaces between words (and Hangul, whose words carry endings): character
// pairs find more than whole runs do.
bool is_unspaced(unsigned c) {
    if (c < 0x0e00)
        return false;
    return (c <= 0x0eff) ||                // Thai, Lao
           (c >= 0x1000 && c <= 0x109f) || // Myanmar
           (c >= 0x1100 && c <= 0x11ff) || // Hangul Jamo
           (c >= 0x1780 && c <= 0x17ff) || // Khmer
           (c >= 0x3005 && c <= 0x3007) || // ideographic iteration mark and zero
           (c >= 0x3040 && c <= 0x30ff) || // Hiragana, Katakana
           (c >= 0x3130 && c <= 0x318f) || // Hangul compatibility Jamo
           (c >= 0x31f0 && c <= 0x31ff) || // Katakana extensions
           (c >= 0x3400 && c <= 0x9fff) || // CJK ideographs
           (c >= 0xac00 && c <= 0xd7af) || // Hangul syllables
           (c >= 0xf900 && c <= 0xfaff) || // compatibility ideographs
           (c >= 0xff66 && c <= 0xff9f) || // half-width Katakana
           (c >= 0x20000 && c <= 0x3ffff);
}

// One character as it is compared: full-width forms as ASCII, lower case.
unsigned fold(unsigned c) {
    if (c >= 0xff01 && c <= 0xff5e)
        c -= 0xfee0;
    return Xapian::Unicode::tolower(c);
}

bool is_language_without_stems(const std::string &language) {
    return language == "none" || language == "chinese" || language == "japanese" ||
           language == "korean";
}

} // namespace

struct rl_terms {
    Xapian::Stem stem;
    std::unordered_set<std::string> stop;
    rl_terms_fn *fn = nullptr;
    void *arg = nullptr;

    explicit rl_terms(const std::string &language) {
        if (!is_language_without_stems(language))
            stem = Xapian::Stem(language);
        const char *at = rl_stopwords(language.c_str());
        while (*at) {
            size_t size = strcspn(at, " ");
            stop.emplace(at, size);
            at += size + strspn(at + size, " ");
        }
    }

    void give(const std::string &term, bool is_stop) const {
        if (!term.empty() && term.size() <= RL_TERM_MAX)
            fn(arg, term.c_str(), term.size(), is_stop);
    }

    void give_word(const std::string &word) const {
        if (word.size() <= RL_TERM_MAX)
            give(stem(word), stop.count(word) != 0);
    }

    void run(const char *text, size_t size);
    void name(Xapian::Utf8Iterator &at) const;
    void unspaced(Xapian::Utf8Iterator &at) const;
};

// A run of characters without spaces: each alone and each pair.
void rl_terms::unspaced(Xapian::Utf8Iterator &at) const {
    std::string before;
    for (; at != Xapian::Utf8Iterator() && is_unspaced(*at); ++at) {
        std::string here;
        Xapian::Unicode::append_utf8(here, fold(*at));
        if (!Xapian::Unicode::is_wordchar(*at)) {
            before.clear();
            continue;
        }
        give(here, false);
        if (!before.empty())
            give(before + here, false);
        before = here;
    }
}

// A name: words with single joints between them. Each word is a term, and the name as a whole.
void rl_terms::name(Xapian::Utf8Iterator &at) const {
    const Xapian::Utf8Iterator end;
    std::string whole, word;
    int words = 0;
    while (at != end && is_word(fold(*at)) && !is_unspaced(*at)) {
        word.clear();
        while (at != end && !is_unspaced(*at)) {
            unsigned c = fold(*at);
            if (is_apostrophe(c)) {
                Xapian::Utf8Iterator next = at;
                if (++next == end || !is_word(fold(*next)))
                    break;
                c = '\'';
            } else if (!is_word(c)) {
                break;
            }
            if (word.size() <= RL_TERM_MAX)
                Xapian::Unicode::append_utf8(word, c);
            ++at;
        }
        give_word(word);
        words++;
        if (whole.size() <= RL_TERM_MAX)
            whole += word;
        Xapian::Utf8Iterator next = at;
        if (at == end || !is_joint(*at) || ++next == end || !is_word(fold(*next)) ||
            is_unspaced(*next))
            break;
        if (whole.size() <= RL_TERM_MAX)
            Xapian::Unicode::append_utf8(whole, *at);
        at = next;
    }
    // "c++", "c#", "f#"
    std::string tail;
    while (at != end && (*at == '+' || *at == '#') && tail.size() < 3) {
        tail += static_cast<char>(*at);
        ++at;
    }
    if (!tail.empty() && (at == end || !is_word(fold(*at))) && words == 1 && word.size() <= 3)
        give(whole + tail, false);
    if (words > 1)
        give(whole, false);
}

void rl_terms::run(const char *text, size_t size) {
    Xapian::Utf8Iterator at(text, size);
    const Xapian::Utf8Iterator end;
    while (at != end) {
        unsigned c = fold(*at);
        if (is_unspaced(*at))
            unspaced(at);
        else if (is_word(c))
            name(at);
        else
            ++at;
    }
}

bool rl_terms_knows(const char *language) {
    try {
        if (is_language_without_stems(language))
            return true;
        Xapian::Stem stem(language);
        return *language != '\0';
    } catch (...) {
        return false;
    }
}

const char *rl_terms_languages(void) {
    try {
        static const std::string names =
            Xapian::Stem::get_available_languages() + " chinese japanese korean none";
        return names.c_str();
    } catch (...) {
        return "none";
    }
}

rl_terms_t *rl_terms_new(const char *language) {
    try {
        return rl_terms_knows(language) ? new rl_terms(language) : nullptr;
    } catch (...) {
        return nullptr;
    }
}

void rl_terms_destroy(rl_terms_t **self_p) {
    delete *self_p;
    *self_p = nullptr;
}

void rl_terms_each(rl_terms_t *self, const char *text, size_t size, rl_terms_fn *fn, void *arg) {
    try {
        self->fn = fn;
        self->arg = arg;
        self->run(text, size);
    } catch (...) {
        // Memory ran out in the middle of a text: the terms so far stand.
    }
}
