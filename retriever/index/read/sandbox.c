// sandbox: a seccomp filter that refuses by the number of the system call, and limits of resources.
// It refuses what reaches out of the process, and lets through what a reader needs, starting mandoc
// included.

#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proc.h"

#if defined(__x86_64__)
#define SANDBOX_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define SANDBOX_ARCH AUDIT_ARCH_AARCH64
#endif

static void set_limit(int resource, rlim_t most)
{
    struct rlimit limit = {.rlim_cur = most, .rlim_max = most};
    setrlimit(resource, &limit);
}

#ifdef SANDBOX_ARCH

static const int refused[] = {
    // the network, and other ways to other processes
    __NR_socket,
    __NR_connect,
    __NR_bind,
    __NR_listen,
    __NR_accept,
    __NR_accept4,
    __NR_ptrace,
    __NR_process_vm_readv,
    __NR_process_vm_writev,
    __NR_tkill,
    __NR_rt_sigqueueinfo,
    __NR_shmget,
    __NR_shmat,
    __NR_msgget,
    __NR_semget,
    __NR_mq_open,
    __NR_add_key,
    __NR_request_key,
    __NR_keyctl,
    // what changes files
    __NR_truncate,
    __NR_ftruncate,
    __NR_unlinkat,
    __NR_renameat2,
    __NR_mkdirat,
    __NR_mknodat,
    __NR_linkat,
    __NR_symlinkat,
    __NR_fchmod,
    __NR_fchmodat,
    __NR_fchown,
    __NR_fchownat,
    __NR_utimensat,
    __NR_setxattr,
    __NR_lsetxattr,
    __NR_fsetxattr,
    __NR_removexattr,
    __NR_lremovexattr,
    __NR_fremovexattr,
    __NR_fallocate,
    __NR_open_by_handle_at,
    // the system
    __NR_mount,
    __NR_umount2,
    __NR_pivot_root,
    __NR_chroot,
    __NR_unshare,
    __NR_setns,
    __NR_bpf,
    __NR_perf_event_open,
    __NR_userfaultfd,
    __NR_setpriority,
    __NR_sched_setaffinity,
#ifdef __NR_renameat
    __NR_renameat,
#endif
#ifdef __NR_unlink // the older calls, which newer machines lack
    __NR_unlink,
    __NR_rename,
    __NR_mkdir,
    __NR_rmdir,
    __NR_mknod,
    __NR_link,
    __NR_symlink,
    __NR_creat,
    __NR_chmod,
    __NR_chown,
    __NR_lchown,
    __NR_utime,
    __NR_utimes,
    __NR_futimesat,
#endif
};

// Calls that take their arguments where a filter cannot see them: as if the kernel had none.
static const int unknown[] = {
#ifdef __NR_openat2
    __NR_openat2,
#endif
#ifdef __NR_io_uring_setup
    __NR_io_uring_setup,
#endif
#ifdef __NR_pidfd_open
    __NR_pidfd_open,
#endif
};

enum {
    MAX_FILTER = 256,
    WRITES = O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | O_APPEND,
    X32 = 0x40000000
};

typedef struct filter {
    struct sock_filter code[MAX_FILTER];
    unsigned short size;
} filter_t;

static void add_code(filter_t *self, struct sock_filter code)
{
    self->code[self->size++] = code;
}

// If the loaded value is this, ends with what follows.
static void add_verdict(filter_t *self, unsigned value, unsigned verdict)
{
    add_code(self, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1));
    add_code(self, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, verdict));
}

static void add_load(filter_t *self, size_t offset)
{
    add_code(self, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)offset));
}

// An opening call whose flags, in this argument, ask for writing is refused.
static void add_open(filter_t *self, int number, size_t argument)
{
    size_t flags = offsetof(struct seccomp_data, args) + argument * sizeof(__u64);
    add_code(self, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number, 0, 4));
    add_load(self, flags);
    add_code(self, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, WRITES, 0, 1));
    add_code(self, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EACCES));
    add_code(self, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
}

static bool refuse_calls(void)
{
    filter_t filter = {.size = 0};
    add_load(&filter, offsetof(struct seccomp_data, arch));
    add_code(&filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SANDBOX_ARCH, 1, 0));
    add_code(&filter, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
    add_load(&filter, offsetof(struct seccomp_data, nr));
    add_code(&filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32, 0, 1));
    add_code(&filter, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
    for (size_t at = 0; at < sizeof refused / sizeof *refused; at++)
        add_verdict(&filter, (unsigned)refused[at], SECCOMP_RET_ERRNO | EPERM);
    for (size_t at = 0; at < sizeof unknown / sizeof *unknown; at++)
        add_verdict(&filter, (unsigned)unknown[at], SECCOMP_RET_ERRNO | ENOSYS);
#ifdef __NR_open
    add_open(&filter, __NR_open, 1);
#endif
    add_open(&filter, __NR_openat, 2);
    add_code(&filter, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    struct sock_fprog program = {.len = filter.size, .filter = filter.code};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0;
}

#else

static bool refuse_calls(void)
{
    return false;
}

#endif

bool sandbox_enter(size_t memory)
{
    size_t space, resident;
    rl_proc_memory(&space, &resident);
    set_limit(RLIMIT_AS, space + memory);
    set_limit(RLIMIT_FSIZE, 0);
    set_limit(RLIMIT_CORE, 0);
    prctl(PR_SET_DUMPABLE, 0);
    return refuse_calls();
}
