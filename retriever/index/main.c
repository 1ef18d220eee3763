// ragline-index: its command line, and which of its works it asks for: to build a collection's
// index, change it, check it, or say what a collection of some size needs.
#include <signal.h>
#include <stdio.h>
#include <sys/time.h>
#include <unistd.h>

#include "blas.h"
#include "build.h"
#include "capacity.h"
#include "change.h"
#include "check.h"

static const char usage[] =
    "usage: ragline-index --index-out FOLDER [option…] PATH…\n"
    "       ragline-index --index-out FOLDER --changes | --add PATH… | --delete ID… |\n"
    "                     --delete-source SOURCE… | --sync DIR | --merge\n"
    "       ragline-index --check FOLDER\n"
    "       ragline-index --size-passages N [option…]    says what N passages want\n"
    "\n"
    "Reads files and folders (Markdown, plain text, HTML, manual pages, JSONL; gzip too), cuts them\n"
    "into passages, has these embedded by the server at embed.url and writes the index that\n"
    "ragline-retriever serves: a new generation beside the old one, which it then replaces.\n"
    "With --to URL[,URL…] it is loaded into a distributed engine instead (Weaviate), whose nodes\n"
    "these are: what is there already is written over, what is no longer there is removed.\n"
    "--check FOLDER compares what searches of an index there find with exact search, on a sample, and\n"
    "writes the least effort that finds enough into its manifest.\n"
    "JSONL is a document a line: {\"id\", \"title\", \"text\"}; other fields are metadata, \"source\" or\n"
    "\"url\" is shown as where it comes from, and \"vector\" is used instead of embedding it. Many\n"
    "vectors are read sooner from corpus.npy (float32) or corpus.fvecs beside corpus.jsonl.\n"
    "\n"
    "With one of the flags of the second line a collection is changed while it is served, without\n"
    "building it again: what is answered is in force, and on disk. --changes reads a change a line\n"
    "from standard input, documents as in JSONL, {\"delete\": ID} or {\"delete_source\": SOURCE}, and\n"
    "answers each in a line. Changes are merged into a new generation when many have gathered.\n"
    "\n"
    "Exit status: 0 all is in the index; 1 the index is in force, but some documents are not wholly in\n"
    "it (--index-report FILE names each with its reason); 2 wrong use; 3 nothing was changed; 130\n"
    "interrupted. After 3 and 130 the old index is in force, and the next run goes on from what was\n"
    "embedded. With --check: 0 the recall wanted is\n"
    "reached; 1 it is not; 3 it could not be checked.\n";

// --check FOLDER: the table goes to standard output.
static int run_check(const rl_conf_t *conf)
{
    char why[1024];
    if (rl_conf_args(conf) != 1) {
        fprintf(stderr, "ragline-index: --check takes the folder of one collection\n");
        return BUILD_WRONG;
    }
    check_settings_t settings = {
        .folder = rl_conf_arg(conf, 0),
        .questions = (size_t)rl_conf_int(conf, "index.check_questions"),
        .k = (size_t)rl_conf_int(conf, "index.check_k"),
        .recall = rl_conf_num(conf, "index.check_recall"),
    };
    int rc = check_index(&settings, stdout, why, sizeof why);
    if (rc < 0)
        fprintf(stderr, "ragline-index: %s\n", why);
    return rc == 0 ? BUILD_WHOLE : rc > 0 ? BUILD_PARTS : BUILD_FAILED;
}

static int run_change(rl_proc_t *proc)
{
    char why[1024];
    signal(SIGHUP, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    change_run_t *run = change_run_new(proc, why, sizeof why);
    if (!run)
        fprintf(stderr, "ragline-index: %s\n", why);
    int status = run ? rl_proc_run(proc) : BUILD_WRONG;
    change_run_destroy(&run);
    return status;
}

static int run_build(rl_proc_t *proc)
{
    plan_t plan;
    char why[512];
    if (plan_make(rl_proc_conf(proc), &plan, why, sizeof why) != 0) {
        fprintf(stderr, "ragline-index: %s\n", why);
        return BUILD_WRONG;
    }
    report_t *report = report_new(rl_conf_str(plan.conf, "index.report"), why, sizeof why);
    if (!report) {
        fprintf(stderr, "ragline-index: %s\n", why);
        return BUILD_WRONG;
    }
    signal(SIGHUP, SIG_IGN); // goes on without its terminal; its options do not change half-way
    build_t *build = build_new(proc, &plan, report);
    int status = rl_proc_run(proc);
    build_destroy(&build);
    report_destroy(&report);
    return status;
}

// ---- signals ------------------------------------------------------------------------------------

enum {
    STOP_MS = 700 // for the loop to end in order
};

static struct sigaction on_term, on_int; // those of the loop

// What is at work has not returned to the loop. That is as safe as being killed at any other
// moment, which leaves the old index, and what was acknowledged, in force.
static void on_stop_overdue(int number)
{
    static const char words[] = "\ninterrupted: what is in force stays; the next run goes on from "
                                "what was embedded\n";
    (void)number;
    if (write(STDERR_FILENO, words, sizeof words - 1) < 0)
        _exit(BUILD_FAILED);
    _exit(BUILD_INTERRUPTED);
}

static void on_stop_signal(int number)
{
    const struct itimerval limit = {.it_value = {.tv_usec = STOP_MS * 1000}};
    const struct sigaction *loop = number == SIGTERM ? &on_term : &on_int;
    struct itimerval now;
    if (getitimer(ITIMER_REAL, &now) == 0 && now.it_value.tv_sec + now.it_value.tv_usec == 0)
        setitimer(ITIMER_REAL, &limit, NULL);
    loop->sa_handler(number);
}

// A signal to end is obeyed within a second, also by what works without the loop: a long search
// through folders, training, checks.
static void bound_stops(void)
{
    struct sigaction stop = {.sa_handler = on_stop_signal, .sa_flags = SA_RESTART};
    struct sigaction overdue = {.sa_handler = on_stop_overdue};
    sigaction(SIGALRM, &overdue, NULL);
    sigaction(SIGTERM, &stop, &on_term);
    sigaction(SIGINT, &stop, &on_int);
}

int main(int argc, char **argv)
{
    int status;
    signal(SIGCHLD, SIG_DFL); // ignored, as a parent may leave it, it hides how mandoc ends
    blas_use_cpu(argv);
    rl_proc_t *proc = rl_proc_new(RL_INDEX, "index", usage, argc, argv, &status);
    if (!proc)
        return status;
    bound_stops();
    const rl_conf_t *conf = rl_proc_conf(proc);
    if (rl_conf_has_flag(conf, "check"))
        status = run_check(conf);
    else if (rl_conf_int(conf, "size.passages") > 0)
        status = capacity_run(conf);
    else if (change_asked_for(conf))
        status = run_change(proc);
    else
        status = run_build(proc);
    rl_proc_destroy(&proc);
    return status;
}
