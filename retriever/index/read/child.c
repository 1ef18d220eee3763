// child: starts a program by vfork, feeds it and collects what it writes until it ends or a bound
// is passed. vfork, because a process that holds gigabytes would take longer to copy its page
// tables than the program to read a page.

#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "fail.h"

enum {
    OPEN_FILES = 32,
    CANNOT_START = 126, // exit statuses, as shells have them
    NO_PROGRAM = 127,
    PIECE = 64 << 10
};

typedef struct child {
    const child_job_t *job;
    pid_t pid;
    int input, output, messages; // our ends of its streams, -1: closed
    size_t written;              // of the input
    uint64_t deadline;           // us
} child_t;

static void close_end(int *fd_p)
{
    if (*fd_p >= 0)
        close(*fd_p);
    *fd_p = -1;
}

// ---- starting -----------------------------------------------------------------------------------

static int prepared = -1; // the empty folder, once child_prepare has made it

// An empty folder that has been removed already: no relative path leads anywhere from it.
static int open_empty_folder(void)
{
    const char *parent = getenv("TMPDIR");
    char path[4096];
    snprintf(path, sizeof path, "%s/ragline-empty-XXXXXX", parent && *parent ? parent : "/tmp");
    if (!mkdtemp(path))
        return -1;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    rmdir(path);
    return fd;
}

void child_prepare(void)
{
    prepared = open_empty_folder();
}

static void set_limit(int resource, rlim_t most)
{
    struct rlimit limit = {.rlim_cur = most, .rlim_max = most};
    setrlimit(resource, &limit);
}

// In the child, between vfork and exec: only system calls, for the memory is this process's.
static void become_program(const child_job_t *job, const int *ends, int folder)
{
    sigset_t none;
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    set_limit(RLIMIT_CPU, job->wall_ms / 1000 + 1);
    set_limit(RLIMIT_AS, job->memory);
    set_limit(RLIMIT_FSIZE, 0);
    set_limit(RLIMIT_CORE, 0);
    set_limit(RLIMIT_NOFILE, OPEN_FILES);
    if (fchdir(folder) == 0 && dup2(ends[0], 0) == 0 && dup2(ends[1], 1) == 1 &&
        dup2(ends[2], 2) == 2) {
        close_range(3, ~0U, 0);
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        execvp(job->command[0], (char *const *)job->command);
    }
    _exit(errno == ENOENT ? NO_PROGRAM : CANNOT_START);
}

// Starts the program on the far ends of the streams. Returns its process id, -1 with errno.
static pid_t start_program(const child_job_t *job, const int *ends, int folder)
{
    sigset_t all, before;
    // until exec the child runs on this process's memory: no handler may run there
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t pid = vfork();
    if (pid == 0)
        become_program(job, ends, folder);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return pid;
}

// A stream of which our end does not block. Sockets, because a pipe that nobody reads any more
// sends a signal.
static int make_stream(int *our_end, int *its_end)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return -1;
    *our_end = ends[0];
    *its_end = ends[1];
    return fcntl(ends[0], F_SETFL, O_NONBLOCK);
}

static int start_child(child_t *self, char *why, size_t why_size)
{
    int ends[3] = {-1, -1, -1}, folder;
    folder = prepared >= 0 ? fcntl(prepared, F_DUPFD_CLOEXEC, 0) : open_empty_folder();
    if (folder >= 0 && make_stream(&self->input, &ends[0]) == 0 &&
        make_stream(&self->output, &ends[1]) == 0 && make_stream(&self->messages, &ends[2]) == 0)
        self->pid = start_program(self->job, ends, folder);
    int rc = self->pid > 0 ? 0
                           : rl_fail(why, why_size, "%s cannot be started: %s",
                                     self->job->command[0], strerror(errno));
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        close_end(&ends[i]);
    close_end(&folder);
    return rc;
}

// ---- running ------------------------------------------------------------------------------------

static void write_input(child_t *self)
{
    const child_job_t *job = self->job;
    ssize_t put = send(self->input, job->input + self->written, job->input_size - self->written,
                       MSG_NOSIGNAL);
    if (put > 0)
        self->written += (size_t)put;
    // a program that reads no further is judged by what it writes
    if ((put < 0 && errno != EAGAIN && errno != EINTR) || self->written == job->input_size)
        close_end(&self->input);
}

static void read_end(int *fd_p, rl_buf_t *out)
{
    char piece[PIECE];
    ssize_t got = read(*fd_p, piece, sizeof piece);
    if (got > 0)
        rl_buf_add(out, piece, (size_t)got);
    else if (got == 0 || (errno != EAGAIN && errno != EINTR))
        close_end(fd_p);
}

static int ms_left(const child_t *self)
{
    uint64_t now = rl_now_us();
    return now < self->deadline ? (int)((self->deadline - now) / 1000) + 1 : 0;
}

// Until both of its outputs have ended. 0, or -1 when a bound was passed.
static int exchange_streams(child_t *self, char *why, size_t why_size)
{
    const child_job_t *job = self->job;
    if (job->input_size == 0)
        close_end(&self->input);
    while (self->output >= 0 || self->messages >= 0) {
        struct pollfd fds[] = {{.fd = self->input, .events = POLLOUT},
                               {.fd = self->output, .events = POLLIN},
                               {.fd = self->messages, .events = POLLIN}};
        int left = ms_left(self);
        if (left == 0)
            return rl_fail(why, why_size, "%s takes more than %u ms for it", job->command[0],
                           job->wall_ms);
        if (poll(fds, sizeof fds / sizeof *fds, left) <= 0)
            continue;
        if (fds[0].revents)
            write_input(self);
        if (fds[1].revents)
            read_end(&self->output, job->output);
        if (fds[2].revents)
            read_end(&self->messages, job->messages);
        if (job->output->full)
            return rl_fail(why, why_size, "%s makes more than %zu bytes of it", job->command[0],
                           job->output->max);
    }
    return 0;
}

// Kills what is left of its process group and takes its status. `wait`: it has until the deadline
// to end by itself. False if the status is lost, as where this process ignores SIGCHLD.
static bool reap_child(child_t *self, bool wait, int *status_p)
{
    siginfo_t info = {0};
    pid_t pid;
    while (wait && ms_left(self) > 0 &&
           waitid(P_PID, (id_t)self->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid == 0)
        usleep(500);
    kill(-self->pid, SIGKILL);
    do
        pid = waitpid(self->pid, status_p, 0);
    while (pid < 0 && errno == EINTR);
    return pid == self->pid;
}

int child_run(const child_job_t *job, bool *missing_p, char *why, size_t why_size)
{
    child_t self = {.job = job,
                    .input = -1,
                    .output = -1,
                    .messages = -1,
                    .pid = -1,
                    .deadline = rl_now_us() + job->wall_ms * 1000ULL};
    int rc = start_child(&self, why, why_size), status = 0;
    if (rc == 0)
        rc = exchange_streams(&self, why, why_size);
    if (self.pid > 0 && !reap_child(&self, rc == 0, &status) && rc == 0)
        rc = rl_fail(why, why_size, "how %s ended is not known", job->command[0]);
    close_end(&self.input);
    close_end(&self.output);
    close_end(&self.messages);
    *missing_p = rc == 0 && WIFEXITED(status) && WEXITSTATUS(status) == NO_PROGRAM;
    if (rc != 0)
        return -1;
    if (WIFSIGNALED(status))
        return rl_fail(why, why_size, "%s was ended by signal %d (%s)", job->command[0],
                       WTERMSIG(status), strsignal(WTERMSIG(status)));
    if (WEXITSTATUS(status) == NO_PROGRAM || WEXITSTATUS(status) == CANNOT_START)
        return rl_fail(why, why_size, "%s cannot be started", job->command[0]);
    return WEXITSTATUS(status);
}
