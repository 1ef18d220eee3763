// ragline-gateway: clients on one side, workers on the other.
#include "gateway.h"

static const char usage[] =
    "Usage: ragline-gateway [options]\n"
    "\n"
    "Takes questions over HTTP, asks retrievers and generators, and streams answers back.\n"
    "Workers find it, not the other way round: start them with --cluster-gateways.\n";

int main(int argc, char **argv)
{
    int status;
    rl_proc_t *proc = rl_proc_new(RL_GATEWAY, "gateway", usage, argc, argv, &status);
    if (!proc)
        return status;
    gateway_t *gateway = gateway_new(proc);
    status = gateway ? rl_proc_run(proc) : 1;
    gateway_destroy(&gateway);
    rl_proc_destroy(&proc);
    return status;
}
