// coalesce: retrieval that is not done twice. What was found for the same question a moment ago is
// taken from the cache; who asks what is being searched for already waits for that search
// (single-flight).
//
// The key of a retrieval holds everything that its result depends on (the words, collections,
// kinds, weights, filter, k, the index generations that are in force) and the rights of the caller,
// so that no question's times tell what others have asked who may see other things.
#ifndef COALESCE_H
#define COALESCE_H

#include "passage_set.h"
#include "request.h"

bool coalesce_is_on(const request_t *self);
void coalesce_make_keys(request_t *self);
// Key of the whole retrieval; of all but the words ("" without keys).
const char *coalesce_key(const request_t *self);
const char *coalesce_rest(const request_t *self);

// Whether something of others may serve, so that it is worth asking what is in force.
bool coalesce_may_find(const request_t *self);
// The passages are taken from there: of an answer that was given before (`answered`, NULL: there is
// none), of the question's drafts, of the cache. False: there are none.
bool coalesce_find(request_t *self, passage_set_t *answered);
// The vector is there: from a question close to this one.
bool coalesce_find_near(request_t *self);

// Another question is searching for the same: this one waits for it. False: nobody is, and others
// may wait for this one.
bool coalesce_follow(request_t *self);
// Whether it follows another, and has not yet been given what that one found, or nothing.
bool coalesce_is_follower(const request_t *self);
bool coalesce_is_waiting(const request_t *self);
// It was given passages: they are taken. False: none, and it follows nobody any more if it does not
// wait.
bool coalesce_adopt_found(request_t *self);
request_t *coalesce_leader(const request_t *self);
request_t *coalesce_first_follower(const request_t *self);
request_t *coalesce_next_follower(const request_t *self);
// One that waited, and is to go on now that the turn ends; NULL if there is none (any more).
request_t *coalesce_next_orphan(pipeline_t *pipeline);

// Whether the question would still be looked for under the same key.
bool coalesce_is_current(const request_t *self);
// The passages are there: for the cache and for those who wait.
void coalesce_give(request_t *self, bool current);
// Waits for nobody any more and is waited for by nobody.
void coalesce_end(request_t *self);

#endif
