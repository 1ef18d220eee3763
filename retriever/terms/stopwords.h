// stopwords: words so common that a question is better searched without them.
#ifndef RL_STOPWORDS_H
#define RL_STOPWORDS_H

// The words of a language, separated by spaces, each in the form it is written in; "" if there is
// no list for it.
const char *rl_stopwords(const char *language);

#endif
