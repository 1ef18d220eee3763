// text_length: how long a text is, in words and in tokens of an embedding model, for all scripts:
// those that write blanks between words and those that do not.
#ifndef TEXT_LENGTH_H
#define TEXT_LENGTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// All of these take valid UTF-8.

// Words. Where words are not separated by blanks, two Han, Kana or Hangul-free characters count as
// a word (a Chinese or Japanese word is about two characters), and four of Thai, Lao, Khmer,
// Burmese.
size_t text_length_words(const char *text, size_t size);

// An estimate of how many tokens a sub-word tokenizer makes of a text (WordPiece with an English
// vocabulary of 30,000), without the two at its ends. Against all-MiniLM-L6-v2's own on stretches
// of 900 bytes: right on average for prose, papers, manual pages and Chinese (1.0 to 1.1), 0.75 at
// the lowest for lists of identifiers and for German.
size_t text_length_tokens(const char *text, size_t size);

// The longest beginning of the text that has at most `max_tokens` by text_length_tokens, at a
// character's end; cut at white space if there is some in its last half. At least one character.
size_t text_length_fit(const char *text, size_t size, size_t max_tokens);

#endif
