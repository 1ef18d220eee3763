// ragline-gateway: clients on one side, workers on the other.
#include "gateway.h"

#include <stdio.h>

#include "certs.h"

static const char usage[] =
    "Usage: ragline-gateway [options]\n"
    "\n"
    "Takes questions over HTTP, asks retrievers and generators, and streams answers back.\n"
    "Workers find it, not the other way round: start them with --cluster-gateways.\n";

// --make-keys FOLDER NAME...
static int make_keys(const rl_conf_t *conf)
{
    const char *names[1024];
    size_t size = rl_conf_args(conf);
    if (size < 2 || size > sizeof names / sizeof *names) {
        fputs("usage: ragline-gateway --make-keys FOLDER NAME...\n"
              "Makes a key pair for each name: FOLDER/NAME.secret and FOLDER/public/NAME.\n",
              stderr);
        return 2;
    }
    for (size_t at = 1; at < size; at++)
        names[at - 1] = rl_conf_arg(conf, at);
    return rl_certs_make(rl_conf_arg(conf, 0), names, size - 1);
}

int main(int argc, char **argv)
{
    int status;
    rl_proc_t *proc = rl_proc_new(RL_GATEWAY, "gateway", usage, argc, argv, &status);
    if (!proc)
        return status;
    if (rl_conf_has_flag(rl_proc_conf(proc), "make-keys")) {
        status = make_keys(rl_proc_conf(proc));
        rl_proc_destroy(&proc);
        return status;
    }
    gateway_t *gateway = gateway_new(proc);
    status = gateway ? rl_proc_run(proc) : 1;
    gateway_destroy(&gateway);
    rl_proc_destroy(&proc);
    return status;
}
