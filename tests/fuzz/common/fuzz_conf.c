// A configuration file with anything in it.
#include "conf.h"
#include "scratch.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    scratch_hush();
    const char *path = scratch_file("ragline.conf", data, size);
    char file[512];
    strcpy(file, path);
    char program[] = "fuzz", option[] = "--config";
    char *argv[] = {program, option, file, NULL};
    unsigned users[] = {RL_GATEWAY, RL_RETRIEVER, RL_GENERATOR, RL_INDEX, RL_ASK, RL_TOP};
    rl_conf_t *conf = rl_conf_new(users[size % 5], 3, argv);
    if (conf) {
        rl_conf_str(conf, "log.level");
        for (size_t at = 0; at < rl_conf_sections(conf, "model"); at++)
            rl_conf_in(conf, "model", rl_conf_section_at(conf, "model", at), "query_prefix");
        rl_conf_t *again = rl_conf_reread(conf);
        rl_conf_destroy(&again);
    }
    rl_conf_destroy(&conf);
    return 0;
}
