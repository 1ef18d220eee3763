// readiness: when a gateway begins to take clients in. One whose port has other owners (the service
// manager's socket, gateway.shared) first gets to know the workers, so that a successor never tells
// a client that nobody is there; and the service manager hears when it serves (sd_notify).
#ifndef READINESS_H
#define READINESS_H

#include "http.h"
#include "registry.h"

typedef struct readiness readiness_t;

readiness_t *readiness_new(rl_proc_t *proc, http_server_t *http, registry_t *registry);
// The gateway ends: the doors stay as they are.
void readiness_stopping(readiness_t *self);
void readiness_destroy(readiness_t **self_p);

#endif
