// sentence: where the sentences of a text end, for all scripts: those that write blanks between
// words and those that do not.
#ifndef RL_SENTENCE_H
#define RL_SENTENCE_H

#include <stdbool.h>
#include <stddef.h>

// The end of the sentence that begins at `from`, or behind the white space there: just after its
// last character and closing marks, before the white space that follows; `size` if none ends
// earlier. Abbreviations, numbers, initials, dots within words and inline code end no sentence; a
// blank line and the next item of a list do. Always beyond `from`, unless that is `size`. What is
// no UTF-8 ends nothing.
size_t rl_sentence_end(const char *text, size_t size, size_t from);

// Whether the text ends with a full stop of a script that puts no blank behind it: 。！？ and
// others.
bool rl_sentence_has_full_stop(const char *text, size_t size);

#endif
