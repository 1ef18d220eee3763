// stopwords: words so common that a question is better searched without them.
#ifndef STOPWORDS_H
#define STOPWORDS_H

// The words of a language, separated by spaces, each in the form it is written in; "" if there is
// no list for it.
const char *stopwords_of(const char *language);

#endif
