// ragline-generator: builds the prompt, asks the LLM, streams the answer to the gateway.
#include "generator.h"

int main(int argc, char **argv)
{
    return generator_main(argc, argv);
}
