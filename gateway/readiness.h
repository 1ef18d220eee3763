// readiness: when a gateway begins to accept clients. Where its port has other owners (the service
// manager's socket, gateway.shared) it waits until it knows the workers, so that a successor never
// tells a client that there are none. It tells the service manager when it serves (sd_notify).
#ifndef READINESS_H
#define READINESS_H

#include "http.h"
#include "registry.h"

typedef struct readiness readiness_t;

readiness_t *readiness_new(rl_proc_t *proc, http_server_t *http, registry_t *registry);
// The gateway ends: nothing changes any more.
void readiness_stopping(readiness_t *self);
void readiness_destroy(readiness_t **self_p);

#endif
