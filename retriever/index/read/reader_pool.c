// reader_pool: forks the readers, feeds them over a socket of packets and takes frames from a
// stream. A reader that is ahead waits in its stream until its turn comes, so that what is read
// ahead has the bound of the sockets' buffers.

#include "reader_pool.h"

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
#include <unistd.h>

#include "clock.h"
#include "fail.h"
#include "log.h"
#include "mem.h"
#include "proc.h"

enum {
    SLICE_MS = 20, // so long it is waited for a frame in one call
    PIECE = 256 << 10,
    SOCKET_BUFFER = 1 << 20,
    JOBS_AT = 10, // descriptors of a reader, out of the way of its streams
};

typedef struct process {
    pid_t pid; // 0: not started
    int jobs, frames;
    rl_buf_t in;
    size_t taken;      // bytes of `in` that have been given out
    uint64_t deadline; // of the frame that is waited for, us; 0: none is
    size_t resident;   // bytes of memory when it began
} process_t;

struct reader_pool {
    reader_limits_t limits;
    process_t *processes;
    bool warned;
};

reader_pool_t *reader_pool_new(const reader_limits_t *limits)
{
    reader_pool_t *self = rl_new(*self);
    self->limits = *limits;
    self->processes = rl_alloc_array(limits->readers, sizeof *self->processes);
    for (unsigned at = 0; at < limits->readers; at++)
        self->processes[at] = (process_t){.jobs = -1, .frames = -1};
    return self;
}

// ---- starting and ending ------------------------------------------------------------------------

// In the child. Signals are the parent's to obey; its end is the child's.
static _Noreturn void become_reader(int jobs, int frames, pid_t parent,
                                    const reader_limits_t *limits)
{
    static const int defaults[] = {SIGTERM, SIGCHLD, SIGALRM, SIGUSR1, SIGUSR2, SIGSEGV,
                                   SIGBUS,  SIGABRT, SIGFPE,  SIGILL,  SIGPIPE};
    sigset_t none;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(0);
    for (size_t at = 0; at < sizeof defaults / sizeof *defaults; at++)
        signal(defaults[at], SIG_DFL);
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    int null = open("/dev/null", O_RDWR);
    jobs = fcntl(jobs, F_DUPFD, JOBS_AT + 2);
    frames = fcntl(frames, F_DUPFD, JOBS_AT + 2);
    if (null < 0 || jobs < 0 || frames < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 ||
        dup2(null, 2) < 0 || dup2(jobs, JOBS_AT) < 0 || dup2(frames, JOBS_AT + 1) < 0)
        _exit(1);
    close_range(3, JOBS_AT - 1, 0);
    close_range(JOBS_AT + 2, ~0U, 0);
    fcntl(JOBS_AT, F_SETFD, FD_CLOEXEC);
    fcntl(JOBS_AT + 1, F_SETFD, FD_CLOEXEC);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    reader_main(JOBS_AT, JOBS_AT + 1, limits);
}

static void close_ends(process_t *process)
{
    if (process->jobs >= 0)
        close(process->jobs);
    if (process->frames >= 0)
        close(process->frames);
    process->jobs = process->frames = -1;
}

static void start_process(reader_pool_t *self, process_t *process)
{
    int jobs[2] = {-1, -1}, frames[2] = {-1, -1}, room = SOCKET_BUFFER;
    sigset_t all, before;
    pid_t parent = getpid(), pid = -1;
    size_t space;
    process->in = rl_buf_make(self->limits.output + 2 * PIECE);
    rl_proc_memory(&space, &process->resident);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, jobs) == 0 &&
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, frames) == 0) {
        setsockopt(frames[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
        // a handler of this process must not run in the child
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        pid = fork();
        if (pid == 0)
            become_reader(jobs[1], frames[1], parent, &self->limits);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    if (jobs[1] >= 0)
        close(jobs[1]);
    if (frames[1] >= 0)
        close(frames[1]);
    process->jobs = jobs[0];
    process->frames = frames[0];
    process->pid = pid > 0 ? pid : 0;
}

// Kills and reaps it. Returns its status; *usage is what it took.
static int end_process(process_t *process, struct rusage *usage)
{
    int status = 0;
    close_ends(process);
    rl_buf_free(&process->in);
    process->taken = 0;
    process->deadline = 0;
    if (process->pid > 0) {
        kill(process->pid, SIGKILL);
        while (wait4(process->pid, &status, 0, usage) < 0 && errno == EINTR)
            continue;
    }
    process->pid = 0;
    return status;
}

void reader_pool_drop(reader_pool_t *self, unsigned reader)
{
    struct rusage usage;
    end_process(&self->processes[reader], &usage);
}

void reader_pool_destroy(reader_pool_t **self_p)
{
    reader_pool_t *self = *self_p;
    if (!self)
        return;
    for (unsigned at = 0; at < self->limits.readers; at++)
        reader_pool_drop(self, at);
    free(self->processes);
    free(self);
    *self_p = NULL;
}

// ---- jobs ---------------------------------------------------------------------------------------

void reader_pool_send(reader_pool_t *self, unsigned reader, int fd, const char *path,
                      uint64_t after)
{
    process_t *process = &self->processes[reader];
    reader_job_t job = {.after = after};
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {.room = {0}};
    struct iovec piece = {.iov_base = &job, .iov_len = sizeof job};
    struct msghdr message = {.msg_iov = &piece,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(head), &fd, sizeof fd);
    snprintf(job.path, sizeof job.path, "%s", path);
    if (process->pid == 0)
        start_process(self, process);
    while (sendmsg(process->jobs, &message, MSG_NOSIGNAL) < 0 && errno == EINTR)
        continue;
    close(fd);
}

// ---- frames -------------------------------------------------------------------------------------

// Says why a reader ended by itself. Where an allocation fails, libraries end in different ways: it
// is told by the memory that was in use.
static int explain_end(const reader_pool_t *self, size_t resident, int status,
                       const struct rusage *usage, report_reason_t *reason, char *why,
                       size_t why_size)
{
    size_t used = (size_t)usage->ru_maxrss * 1024;
    *reason = REPORT_CRASH;
    if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL &&
        used > resident + self->limits.memory / 4) {
        *reason = REPORT_MEMORY;
        return rl_fail(why, why_size, "takes more than %zu MB to read (index.read_mb)",
                       self->limits.memory >> 20);
    }
    if (WIFSIGNALED(status))
        return rl_fail(why, why_size, "its reader crashed: signal %d (%s)", WTERMSIG(status),
                       strsignal(WTERMSIG(status)));
    return rl_fail(why, why_size, "its reader ended with status %d", WEXITSTATUS(status));
}

// The stream has ended. The reader may take a moment to become a zombie, so it is not killed before
// its own end is known.
static int take_end(reader_pool_t *self, process_t *process, report_reason_t *reason, char *why,
                    size_t why_size)
{
    struct rusage usage = {0};
    size_t resident = process->resident;
    int status = 0;
    pid_t pid = process->pid;
    while (pid > 0 && wait4(pid, &status, 0, &usage) < 0 && errno == EINTR)
        continue;
    process->pid = 0;
    end_process(process, &usage);
    if (pid == 0) {
        *reason = REPORT_PROBLEM;
        return rl_fail(why, why_size, "no reader could be started");
    }
    return explain_end(self, resident, status, &usage, reason, why, why_size);
}

// Whether a whole frame lies in the buffer. -1: it is larger than allowed.
static int peek_frame(const reader_pool_t *self, process_t *process, reader_frame_t *frame)
{
    size_t there = process->in.size - process->taken;
    if (there < sizeof *frame)
        return 0;
    memcpy(frame, process->in.data + process->taken, sizeof *frame);
    if (frame->size > self->limits.output)
        return -1;
    return there - sizeof *frame >= frame->size;
}

static void compact_buffer(process_t *process)
{
    if (process->taken == process->in.size)
        rl_buf_clear(&process->in);
    else if (process->taken >= PIECE)
        rl_buf_drop(&process->in, process->taken);
    else
        return;
    process->taken = 0;
}

// Reads what has come. Returns 1 if something has, 0 if not, -1 at the stream's end.
static int fill_buffer(process_t *process)
{
    static char piece[PIECE];
    struct pollfd fds = {.fd = process->frames, .events = POLLIN};
    if (process->frames < 0)
        return -1;
    if (poll(&fds, 1, SLICE_MS) <= 0)
        return 0;
    ssize_t got = recv(process->frames, piece, sizeof piece, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    return got > 0 && rl_buf_add(&process->in, piece, (size_t)got) == 0 ? 1 : -1;
}

static void warn_once(reader_pool_t *self)
{
    if (!self->warned)
        rl_warn("this kernel has no filter for system calls (seccomp): the processes that read "
                "documents are limited in time and memory only");
    self->warned = true;
}

int reader_pool_receive(reader_pool_t *self, unsigned reader, reader_frame_t *frame,
                        const char **body, report_reason_t *reason, char *why, size_t why_size)
{
    process_t *process = &self->processes[reader];
    int rc, got = 0;
    compact_buffer(process);
    while ((rc = peek_frame(self, process, frame)) == 0 && (got = fill_buffer(process)) > 0)
        continue;
    if (rc > 0) {
        *body = process->in.data + process->taken + sizeof *frame;
        process->taken += sizeof *frame + frame->size;
        process->deadline = 0;
        if (!frame->sandboxed)
            warn_once(self);
        return 1;
    }
    if (rc < 0) {
        *reason = REPORT_TOO_LARGE;
        reader_pool_drop(self, reader);
        return rl_fail(why, why_size, "more is made of it than index.read_output_mb");
    }
    if (got < 0)
        return take_end(self, process, reason, why, why_size);
    uint64_t now = rl_now_us();
    if (process->deadline == 0)
        process->deadline = now + self->limits.read_ms * UINT64_C(1000);
    if (now < process->deadline)
        return 0;
    *reason = REPORT_TIME_LIMIT;
    reader_pool_drop(self, reader);
    return rl_fail(why, why_size, "takes more than %u ms to read (index.read_ms)",
                   self->limits.read_ms);
}
