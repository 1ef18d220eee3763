// curve: CURVE on the ZeroMQ sockets, and who is let in.
//
// The ZAP handler is our own and not czmq's zauth, which logs refused peers only in its verbose
// mode (and then not key and address on one line), lets in unencrypted peers of a domain, looks
// through its folder at each request, and is a thread whose answer cannot be asked for again when a
// message comes on a connection that stands.
#include "curve.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zmq.h>

#include "certs.h"
#include "clock.h"
#include "fail.h"
#include "log.h"
#include "mem.h"
#include "timer.h"

enum {
    LOOK_US = 1000000,       // how often the folder of those allowed is looked at,
    LOOK_AGAIN_US = 50000,   // and how soon again for one that is not among them
    REMEMBERED = 32,         // peers that were refused of late,
    SAY_AGAIN_US = 60000000, // each named once a minute
    FRAMES = 8,              // of a ZAP request: 6 and at most 2 credentials
    FIELD = 256,
};

static const char zap_endpoint[] = "inproc://zeromq.zap.01";
static const char zap_domain[] = "ragline";

typedef struct refused {
    char key[RL_KEY], address[FIELD];
    uint64_t said_us, times;
} refused_t;

struct rl_curve {
    char public_key[RL_KEY], secret_key[RL_KEY];
    char gateway_key[RL_KEY]; // a gateway: its own
    rl_allowed_t *allowed;    // of a gateway; NULL: gateway_key is the only one allowed
    void *zap;                // REP
    struct event *readable;
    rl_timer_t *look;
    uint64_t looked_us;
    refused_t refused[REMEMBERED];
    size_t refused_next;
};

// ----------------------------------------------------------------------------------------- options

// curve.gateway_key is the key itself or the name of a public certificate.
static int read_gateway_key(rl_curve_t *self, const char *configured, char *why, size_t why_size)
{
    char inner[512];
    if (rl_key_is_valid(configured)) {
        snprintf(self->gateway_key, RL_KEY, "%s", configured);
        return 0;
    }
    if (rl_cert_read_public(configured, self->gateway_key, inner, sizeof inner) == 0)
        return 0;
    return rl_fail(why, why_size,
                   "curve.gateway_key: neither a public key (40 characters, as scripts/make-keys "
                   "prints it) nor a certificate: %s",
                   inner);
}

static void warn_of_readers(const char *file)
{
    struct stat stat_of;
    if (stat(file, &stat_of) == 0 && (stat_of.st_mode & S_IROTH))
        rl_warn("curve.key_file: everybody on this machine may read %s: chmod 600", file);
}

static int read_keys(rl_curve_t *self, unsigned program, const rl_conf_t *conf, char *why,
                     size_t why_size)
{
    char inner[512];
    const char *key_file = rl_conf_str(conf, "curve.key_file");
    const char *gateway_key = rl_conf_str(conf, "curve.gateway_key");
    const char *allowed = rl_conf_str(conf, "curve.allowed");
    if (!*key_file)
        return rl_fail(why, why_size,
                       "curve.key_file: is not set, though other options of [curve] are; it takes "
                       "this process's own secret certificate (scripts/make-keys makes one)");
    if (rl_cert_read_secret(key_file, self->public_key, self->secret_key, inner, sizeof inner) != 0)
        return rl_fail(why, why_size, "curve.key_file: %s", inner);
    warn_of_readers(key_file);
    if (*gateway_key && read_gateway_key(self, gateway_key, why, why_size) != 0)
        return -1;
    if (!(program & RL_GATEWAY))
        return *gateway_key
                   ? 0
                   : rl_fail(why, why_size,
                             "curve.gateway_key: is not set; it takes the public key of the "
                             "gateways");
    if (*gateway_key && strcmp(self->gateway_key, self->public_key) != 0)
        return rl_fail(why, why_size,
                       "curve.gateway_key: is not the public key of this gateway's curve.key_file; "
                       "all gateways share one key");
    snprintf(self->gateway_key, RL_KEY, "%s", self->public_key);
    if (!*allowed)
        return rl_fail(
            why, why_size,
            "curve.allowed: is not set; it takes the folder of the public certificates of "
            "the workers that may come");
    if ((self->allowed = rl_allowed_new(allowed, inner, sizeof inner)))
        return 0;
    return rl_fail(why, why_size, "curve.allowed: %s", inner);
}

int rl_curve_new(rl_curve_t **self_p, unsigned program, const rl_conf_t *conf, char *why,
                 size_t why_size)
{
    *self_p = NULL;
    bool asked = *rl_conf_str(conf, "curve.key_file") || *rl_conf_str(conf, "curve.gateway_key") ||
                 ((program & RL_GATEWAY) && *rl_conf_str(conf, "curve.allowed"));
    if (!asked)
        return 0;
    if (!zmq_has("curve"))
        return rl_fail(why, why_size, "curve.key_file: this libzmq was built without CURVE");
    rl_curve_t *self = rl_new(*self);
    if (read_keys(self, program, conf, why, why_size) != 0) {
        rl_curve_destroy(&self);
        return -1;
    }
    *self_p = self;
    return 0;
}

void rl_curve_destroy(rl_curve_t **self_p)
{
    rl_curve_t *self = *self_p;
    if (!self)
        return;
    if (self->readable)
        event_free(self->readable);
    rl_timer_destroy(&self->look);
    if (self->zap)
        zmq_close(self->zap);
    rl_allowed_destroy(&self->allowed);
    explicit_bzero(self->secret_key, sizeof self->secret_key);
    free(self);
    *self_p = NULL;
}

void rl_curve_reload(rl_curve_t *self, const rl_conf_t *conf)
{
    char why[512];
    if (!self->allowed)
        return;
    const char *folder = rl_conf_str(conf, "curve.allowed");
    if (strcmp(folder, rl_allowed_folder(self->allowed)) == 0) {
        rl_allowed_refresh(self->allowed);
        return;
    }
    rl_allowed_t *allowed = rl_allowed_new(folder, why, sizeof why);
    if (!allowed) {
        rl_error("curve.allowed: %s; those allowed before stay so", why);
        return;
    }
    rl_allowed_destroy(&self->allowed);
    self->allowed = allowed;
}

// ------------------------------------------------------------------------------------- decisions

bool rl_curve_allows(rl_curve_t *self, const char *key)
{
    if (!self->allowed)
        return strcmp(key, self->gateway_key) == 0;
    if (rl_allowed_has(self->allowed, key))
        return true;
    // it may have been put there a moment ago; a peer cannot make us read the folder more often
    // than this
    if (rl_now_us() - self->looked_us < LOOK_AGAIN_US)
        return false;
    self->looked_us = rl_now_us();
    rl_allowed_refresh(self->allowed);
    return rl_allowed_has(self->allowed, key);
}

// One line for a peer and minute, however often it tries.
static void log_refused(rl_curve_t *self, const char *key, const char *address)
{
    uint64_t now = rl_now_us();
    refused_t *it = NULL;
    for (size_t at = 0; at < REMEMBERED && !it; at++)
        if (strcmp(self->refused[at].key, key) == 0 &&
            strcmp(self->refused[at].address, address) == 0)
            it = &self->refused[at];
    if (!it) {
        it = &self->refused[self->refused_next++ % REMEMBERED];
        // a peer with a new key at each try fills the places; then two lines a second are enough
        if (it->said_us && now - it->said_us < REMEMBERED * 1000000ull / 2)
            return;
        *it = (refused_t){0};
        snprintf(it->key, sizeof it->key, "%s", key);
        snprintf(it->address, sizeof it->address, "%s", address);
    }
    it->times++;
    if (it->said_us && now - it->said_us < SAY_AGAIN_US)
        return;
    it->said_us = now;
    rl_warn("refused: a peer at %s with the public key %s, which is not %s%s (%llu tries)", address,
            key, self->allowed ? "in curve.allowed: " : "the gateways' (curve.gateway_key)",
            self->allowed ? rl_allowed_folder(self->allowed) : "", (unsigned long long)it->times);
}

// A ZAP request: version, request id, domain, address, identity, mechanism, credentials.
typedef struct request {
    size_t frames;
    size_t sizes[FRAMES];
    char text[FRAMES][FIELD]; // each with its end; longer ones are cut
} request_t;

// Returns false when there is none.
static bool receive_request(rl_curve_t *self, request_t *out)
{
    int more = 1;
    *out = (request_t){0};
    while (more) {
        zmq_msg_t frame;
        zmq_msg_init(&frame);
        if (zmq_msg_recv(&frame, self->zap, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close(&frame);
            return false;
        }
        size_t size = zmq_msg_size(&frame);
        if (out->frames < FRAMES) {
            out->sizes[out->frames] = size;
            memcpy(out->text[out->frames], zmq_msg_data(&frame), size < FIELD ? size : FIELD - 1);
        }
        out->frames++;
        more = zmq_msg_more(&frame);
        zmq_msg_close(&frame);
    }
    return true;
}

static bool decide_request(rl_curve_t *self, const request_t *request, char key[RL_KEY])
{
    *key = '\0';
    bool curve = request->frames == 7 && strcmp(request->text[0], "1.0") == 0 &&
                 strcmp(request->text[2], zap_domain) == 0 &&
                 strcmp(request->text[5], "CURVE") == 0 && request->sizes[6] == RL_KEY_BYTES;
    if (!curve) {
        rl_warn("refused: a peer at %s that does not use CURVE", request->text[3]);
        return false;
    }
    zmq_z85_encode(key, (const uint8_t *)request->text[6], RL_KEY_BYTES);
    bool allowed = rl_curve_allows(self, key);
    if (!allowed)
        log_refused(self, key, request->text[3]);
    return allowed;
}

static void send_reply(rl_curve_t *self, const request_t *request, bool allowed, const char *key)
{
    const char *status = allowed ? "200" : "400", *text = allowed ? "OK" : "not allowed";
    zmq_send(self->zap, "1.0", 3, ZMQ_SNDMORE | ZMQ_DONTWAIT);
    zmq_send(self->zap, request->text[1], request->sizes[1] < FIELD ? request->sizes[1] : 0,
             ZMQ_SNDMORE | ZMQ_DONTWAIT);
    zmq_send(self->zap, status, 3, ZMQ_SNDMORE | ZMQ_DONTWAIT);
    zmq_send(self->zap, text, strlen(text), ZMQ_SNDMORE | ZMQ_DONTWAIT);
    zmq_send(self->zap, key, allowed ? strlen(key) : 0, ZMQ_SNDMORE | ZMQ_DONTWAIT); // User-Id
    zmq_send(self->zap, "", 0, ZMQ_DONTWAIT);                                        // metadata
}

void rl_curve_turn(rl_curve_t *self)
{
    request_t request;
    char key[RL_KEY];
    while (receive_request(self, &request)) {
        bool allowed = decide_request(self, &request, key);
        send_reply(self, &request, allowed, key);
    }
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    rl_curve_turn(arg);
}

static void on_look(void *arg)
{
    rl_curve_t *self = arg;
    rl_allowed_refresh(self->allowed);
}

int rl_curve_start(rl_curve_t *self, struct event_base *base, void *context, char *why,
                   size_t why_size)
{
    int fd;
    size_t size = sizeof fd;
    self->zap = zmq_socket(context, ZMQ_REP);
    if (!self->zap || zmq_bind(self->zap, zap_endpoint) != 0 ||
        zmq_getsockopt(self->zap, ZMQ_FD, &fd, &size) != 0)
        return rl_fail(why, why_size, "%s: %s", zap_endpoint, zmq_strerror(zmq_errno()));
    self->readable = rl_must(event_new(base, fd, EV_READ | EV_PERSIST | EV_ET, on_readable, self));
    if (event_add(self->readable, NULL) != 0)
        rl_out_of_memory();
    self->look = rl_timer_new(base, on_look, self);
    if (self->allowed)
        rl_timer_every(self->look, LOOK_US);
    if (self->allowed)
        rl_info("CURVE: this gateway's public key is %s; %zu certificates of workers in %s",
                self->public_key, rl_allowed_size(self->allowed), rl_allowed_folder(self->allowed));
    else
        rl_info("CURVE: this worker's public key is %s", self->public_key);
    return 0;
}

// ----------------------------------------------------------------------------------------- sockets

const char *rl_curve_public(const rl_curve_t *self)
{
    return self->public_key;
}

int rl_curve_serve(rl_curve_t *self, void *socket)
{
    int yes = 1;
    // with a domain libzmq asks the ZAP handler about every peer
    return zmq_setsockopt(socket, ZMQ_CURVE_SERVER, &yes, sizeof yes) == 0 &&
                   zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, self->secret_key, RL_KEY) == 0 &&
                   zmq_setsockopt(socket, ZMQ_ZAP_DOMAIN, zap_domain, strlen(zap_domain)) == 0
               ? 0
               : -1;
}

int rl_curve_connect(rl_curve_t *self, void *socket, const char *server_key)
{
    if (!server_key)
        server_key = self->gateway_key;
    if (!rl_key_is_valid(server_key))
        return -1;
    return zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, server_key, RL_KEY) == 0 &&
                   zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, self->public_key, RL_KEY) == 0 &&
                   zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, self->secret_key, RL_KEY) == 0
               ? 0
               : -1;
}
