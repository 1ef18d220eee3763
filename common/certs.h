// certs: CURVE certificates as czmq's zcert writes them: a file with a public key, or with both
// keys; and the folder of those that are allowed.
//
// A key here is its Z85 text (https://rfc.zeromq.org/spec/32/): 40 characters.
#ifndef RL_CERTS_H
#define RL_CERTS_H

#include <stdbool.h>
#include <stddef.h>

enum {
    RL_KEY = 41,       // bytes of a key's text, with its end
    RL_KEY_BYTES = 32, // of a key itself
};

// Whether it is the text of a key.
bool rl_key_is_valid(const char *text);

// Reads a certificate with both keys; they must belong together. Returns 0, or -1 with what is
// wrong in `why`.
int rl_cert_read_secret(const char *file, char public_key[RL_KEY], char secret_key[RL_KEY],
                        char *why, size_t why_size);
// Reads the public key of a certificate.
int rl_cert_read_public(const char *file, char public_key[RL_KEY], char *why, size_t why_size);

// Makes a key pair for each name: FOLDER/NAME.secret (both keys, mode 0600) and FOLDER/public/NAME,
// and prints what was made. Nothing that is there is written over. Returns the program's exit
// status; what is wrong goes to stderr.
int rl_certs_make(const char *folder, const char *const *names, size_t size);

// The public keys of the certificates in a folder. Files that begin with "." or end in "secret" are
// passed over; one that is no certificate is logged.
typedef struct rl_allowed rl_allowed_t;

rl_allowed_t *rl_allowed_new(const char *folder, char *why, size_t why_size);
void rl_allowed_destroy(rl_allowed_t **self_p);
bool rl_allowed_has(const rl_allowed_t *self, const char *key);
size_t rl_allowed_size(const rl_allowed_t *self);
const char *rl_allowed_folder(const rl_allowed_t *self);
// Reads the folder again if anything in it has changed since it was last read. A folder that cannot
// be read is logged and changes nothing.
void rl_allowed_refresh(rl_allowed_t *self);

#endif
