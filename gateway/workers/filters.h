// filters: whether a question's filter fits the collections that it asks.
#ifndef FILTERS_H
#define FILTERS_H

#include "question.h"
#include "registry.h"

// Whether every collection can be filtered and every field the filter names is there in one of them
// (question->collections are those to search). If not, answers the request with what is wrong
// (*req_p becomes NULL).
bool filters_fit(registry_t *registry, const question_t *question, http_req_t **req_p);

#endif
