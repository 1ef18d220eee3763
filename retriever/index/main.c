// ragline-index: builds a collection's index from files.

#include "build.h"
#include "size.h"

#include "blas.h"

#include <signal.h>
#include <stdio.h>

static const char usage[] =
    "usage: ragline-index --index-out FOLDER [option…] PATH…\n"
    "       ragline-index --size-passages N [option…]    says what N passages want\n"
    "\n"
    "Reads files and folders (Markdown, plain text, HTML, manual pages, JSONL; gzip too), cuts them\n"
    "into passages, has these embedded by the server at embed.url and writes the index that\n"
    "ragline-retriever serves: a new generation beside the old one, which it then replaces.\n"
    "With --to URL[,URL…] it is loaded into a distributed engine instead (Weaviate), whose nodes\n"
    "these are: what is there already is written over, what is no longer there is removed.\n"
    "JSONL is a document a line: {\"id\", \"title\", \"text\"}; other fields are metadata, \"source\" or\n"
    "\"url\" is shown as where it comes from, and \"vector\" is used instead of embedding it. Many\n"
    "vectors are read sooner from corpus.npy (float32) or corpus.fvecs beside corpus.jsonl.\n"
    "\n"
    "Exit status: 0 all is in the index; 1 the index is built, but some files or lines could not be\n"
    "used; 2 wrong use; 3 no index was built; 130 interrupted. After 3 and 130 the old index is in\n"
    "force, and the next run goes on from what was embedded.\n";

int main(int argc, char **argv)
{
    int status;
    rl_blas_use_cpu(argv);
    rl_proc_t *proc = rl_proc_new(RL_INDEX, "index", usage, argc, argv, &status);
    if (!proc)
        return status;
    if (rl_conf_int(rl_proc_conf(proc), "size.passages") > 0) {
        status = rl_size_run(rl_proc_conf(proc));
        rl_proc_destroy(&proc);
        return status;
    }
    rl_plan_t plan;
    char why[512];
    if (rl_plan_make(rl_proc_conf(proc), &plan, why, sizeof why) != 0) {
        fprintf(stderr, "ragline-index: %s\n", why);
        rl_proc_destroy(&proc);
        return RL_BUILD_WRONG;
    }
    signal(SIGHUP, SIG_IGN); // goes on without its terminal; its options do not change half-way
    rl_build_t *build = rl_build_new(proc, &plan);
    status = build ? rl_proc_run(proc) : RL_BUILD_FAILED;
    rl_build_destroy(&build);
    rl_proc_destroy(&proc);
    return status;
}
