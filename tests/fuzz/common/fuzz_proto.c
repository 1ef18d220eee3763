// Bytes of a ZeroMQ peer: what decodes must encode again, and then decode to the same.
#include "proto.h"
#include "scratch.h"

#include <stdlib.h>
#include <string.h>

static char why_not[256];

static void check_again(const rl_msg_t *msg)
{
    rl_buf_t first = rl_buf_make(RL_MAX_FRAME), second = rl_buf_make(RL_MAX_FRAME);
    if (rl_msg_encode(msg, &first, why_not, sizeof why_not) == 0) {
        rl_msg_t *again;
        const char *why;
        if (rl_msg_decode(first.data, first.size, &again, &why) != first.size)
            abort(); // our own bytes must be understood
        if (rl_msg_encode(again, &second, why_not, sizeof why_not) != 0 ||
            second.size != first.size || memcmp(first.data, second.data, first.size) != 0)
            abort(); // and mean the same
        rl_msg_free(&again);
    }
    rl_buf_free(&first);
    rl_buf_free(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    while (size > 0) {
        rl_msg_t *msg;
        const char *why = NULL;
        size_t used = rl_msg_decode(data, size, &msg, &why);
        if (used == 0) {
            if (!why || !*why)
                abort(); // a refusal says why
            break;
        }
        if (used > size || msg->type <= 0 || msg->type >= RL_MSG_TYPES)
            abort();
        check_again(msg);
        rl_msg_t *kept = rl_msg_move(msg);
        rl_msg_free(&msg);
        rl_msg_free(&kept);
        data += used;
        size -= used;
    }
    return 0;
}
