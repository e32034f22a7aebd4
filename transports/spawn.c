/*
 * Starting a program. The child borrows our memory, on a stack of its own, while this thread waits
 * (CLONE_VM | CLONE_VFORK): no page table is copied, which for 1 GiB takes fork some 10 ms, and
 * what the child writes down we can read. So the parent prepares everything; the child allocates
 * nothing, takes no lock, and calls the system alone (spawn_sys.h). No signal may find it, as a
 * handler would run in our memory: all are blocked around it, and it resets the handlers before it
 * unblocks them.
 *
 * An emulator that makes a fork of it loses what the child writes: an exec that failed is then seen
 * as a child that exits with 127, as in a shell.
 */
#include "transports/spawn.h"

#include "framework/base/alloc.h"
#include "transports/spawn_sys.h"
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/prctl.h>
#endif

#if defined(__linux__) && !defined(EDDY_SPAWN_VFORK) /* defined by a test of the other road */
#define BY_CLONE
#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x1000
#endif
#ifdef __GLIBC__
/* The thread sanitizer takes each clone() for a fork: the child would reset its books in our
 * memory, after which no thread could be started. By this name it lets it pass. */
extern int clone_unnoticed(int (*fn)(void *user), void *stack_end, int flags, void *user,
                           ...) __asm__("__clone");
#else
#define clone_unnoticed clone
#endif
#endif

#define WAIT_PIDFD ((idtype_t)3) /* P_PIDFD; missing in older headers */

#define SHELL "/bin/sh"
#define DEFAULT_PATH "/bin:/usr/bin" /* as Python's */
#define EXIT_FAILED 127
#define STACK_SIZE (32 * 1024)

extern char **environ;

struct plan {
    const struct spawn *s;
    char *const *env;
    char **candidates; /* paths to try, NULL-ended */
    char **shell_argv; /* for programs that the kernel has no format for; [1] is the path */
    char *strings;
    int fd_limit; /* descriptors are below it */

    /* the child's answer */
    int error;
    const char *step;
};

/* ---- the child ---- */

/* One call for each signal, two for those that are ignored and stay so. */
CHILD static int reset_signals(struct plan *p)
{
    struct kernel_sigaction by_default = {.handler = SIG_DFL}, before;

    (void)p;
    for (int n = 1; n < NSIG; n++) {
        exchange_action(n, &by_default, &before);
        if (before.handler == SIG_IGN && n != SIGPIPE && n != SIGXFSZ)
            exchange_action(n, &before, &before);
    }
    return 0;
}

CHILD static int make_session(struct plan *p)
{
    return p->s->new_session || p->s->terminal ? set_session() : 0;
}

CHILD static int join_group(struct plan *p)
{
    return p->s->set_process_group ? set_process_group(p->s->process_group) : 0;
}

CHILD static int go_to_folder(struct plan *p)
{
    if (p->s->set_umask)
        set_umask(p->s->umask);
    return p->s->cwd ? change_folder(p->s->cwd) : 0;
}

CHILD static void mark_closed(int fd)
{
    if (fd > 2)
        control(fd, F_SETFD, FD_CLOEXEC);
}

#ifdef __linux__

CHILD static int number_of(const char *name)
{
    int n = 0;

    for (; *name >= '0' && *name <= '9'; name++)
        n = n * 10 + (*name - '0');
    return *name ? 0 : n; /* "." and ".." */
}

/* Kernels before 5.11. Their limit may be a thousand million: better to ask what there is. */
CHILD static int mark_those_listed(void)
{
    uint64_t room[256]; /* aligned as the records are */
    long n;
    int dir = result(
        syscall(SYS_openat, AT_FDCWD, "/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0));

    if (dir < 0)
        return dir;
    while ((n = syscall(SYS_getdents64, dir, room, sizeof room)) > 0) {
        const char *record = (const char *)room;

        for (const char *end = record + n; record < end;) {
            unsigned short length; /* after two words of 8 bytes; then the type, the name */

            __builtin_memcpy(&length, record + 16, sizeof length);
            mark_closed(number_of(record + 19));
            record += length;
        }
    }
    syscall(SYS_close, dir);
    return result(n);
}

CHILD static int mark_all(void)
{
#if defined(SYS_close_range)
    if (syscall(SYS_close_range, 3u, ~0u, 1u << 2 /* CLOSE_RANGE_CLOEXEC */) == 0)
        return 0;
#endif
    return mark_those_listed();
}

#else

static int mark_all(void)
{
    return -ENOSYS;
}

#endif

/* Not closed yet: they are still to become 0, 1 and 2. */
CHILD static int close_others(struct plan *p)
{
    if (mark_all() < 0) {
        for (int fd = 3; fd < p->fd_limit; fd++)
            mark_closed(fd);
    }
    return 0;
}

/* Before any number is given away that may be the one of a closed descriptor among them. */
CHILD static int keep_passed(struct plan *p)
{
    for (size_t i = 0; i < p->s->pass_fds_count; i++) {
        int fd = p->s->pass_fds[i];
        int rc = fd >= 0 && fd <= 2 ? 0 : control(fd, F_SETFD, 0);

        if (rc < 0)
            return rc;
    }
    return 0;
}

/* Those that stand where another belongs get out of the way first. Who stays has its mark of
 * close-on-exec taken off, which dup takes off the others. */
CHILD static int set_stdio(struct plan *p)
{
    int from[3];

    for (int i = 0; i < 3; i++) {
        from[i] = p->s->stdio[i];
        if (from[i] != i && from[i] < 3 && (from[i] = control(from[i], F_DUPFD_CLOEXEC, 3)) < 0)
            return from[i];
    }
    for (int i = 0; i < 3; i++) {
        int rc = from[i] == i ? control(i, F_SETFD, 0) : duplicate(from[i], i);

        if (rc < 0 && from[i] != i)
            return rc;
    }
    return 0;
}

CHILD static int take_terminal(struct plan *p)
{
    return p->s->terminal ? set_terminal(0) : 0;
}

CHILD static int change_groups(struct plan *p)
{
    return p->s->set_groups ? set_groups(p->s->groups_count, p->s->groups) : 0;
}

CHILD static int change_gid(struct plan *p)
{
    return p->s->set_gid ? set_gid(p->s->gid) : 0;
}

CHILD static int change_uid(struct plan *p)
{
    return p->s->set_uid ? set_uid(p->s->uid) : 0;
}

/* The next folder of PATH may have it. */
CHILD static bool is_not_there(int rc)
{
    return rc == -ENOENT || rc == -ENOTDIR || rc == -ESTALE || rc == -ENODEV || rc == -ETIMEDOUT;
}

CHILD static int run(struct plan *p)
{
    sigset_t none;
    bool denied = false;
    int rc = -ENOENT;

    sigemptyset(&none);
    set_mask(&none, NULL);
    for (char **path = p->candidates; *path; path++) {
        rc = execute(*path, p->s->argv, p->env);
        if (rc == -ENOEXEC) {
            p->shell_argv[1] = *path;
            return execute(SHELL, p->shell_argv, p->env);
        }
        if (rc == -EACCES)
            denied = true;
        else if (!is_not_there(rc))
            return rc;
    }
    return denied ? -EACCES : rc;
}

static const struct {
    const char *name;
    int (*fn)(struct plan *p);
} steps[] = {
    {"signals", reset_signals}, {"setsid", make_session},    {"setpgid", join_group},
    {"chdir", go_to_folder},    {"close_fds", close_others}, {"pass_fds", keep_passed},
    {"stdio", set_stdio},       {"terminal", take_terminal}, {"setgroups", change_groups},
    {"setgid", change_gid},     {"setuid", change_uid},      {"exec", run},
};

CHILD static int child(void *user)
{
    struct plan *p = user;

    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        int rc = steps[i].fn(p);

        if (rc < 0) {
            p->step = steps[i].name;
            p->error = rc;
            return EXIT_FAILED;
        }
    }
    return EXIT_FAILED; /* run() returns with an error only */
}

/* ---- what it needs ---- */

static const char *search_path(char *const *env)
{
    for (; env && *env; env++) {
        if (strncmp(*env, "PATH=", 5) == 0)
            return *env + 5;
    }
    return DEFAULT_PATH;
}

/* Writes program, or folder/program, to `to`; returns where the next one goes. */
static char *join(char *to, const char *folder, size_t len, const char *program)
{
    size_t program_size = strlen(program) + 1;

    memcpy(to, folder, len);
    to += len;
    if (len > 0)
        *to++ = '/';
    memcpy(to, program, program_size);
    return to + program_size;
}

/* An empty folder is the current one. */
static int list_candidates(struct plan *p, const char *path)
{
    const char *program = p->s->program;
    size_t folders = 1, i = 0;

    for (const char *c = path; *c; c++)
        folders += *c == ':';
    p->candidates = eddy_zalloc((folders + 1) * sizeof *p->candidates);
    p->strings = eddy_alloc(strlen(path) + folders * (strlen(program) + 2));
    if (!p->candidates || !p->strings)
        return -ENOMEM;
    for (char *to = p->strings; i < folders; i++) {
        size_t len = strcspn(path, ":");

        p->candidates[i] = to;
        to = join(to, path, len, program);
        path += len + 1;
    }
    return 0;
}

static int list_shell_arguments(struct plan *p)
{
    size_t count = 0;

    while (p->s->argv[count])
        count++;
    p->shell_argv = eddy_alloc((count + 2) * sizeof *p->shell_argv);
    if (!p->shell_argv)
        return -ENOMEM;
    p->shell_argv[0] = (char *)(uintptr_t)SHELL;
    memcpy(p->shell_argv + 2, p->s->argv + 1, count * sizeof *p->shell_argv); /* and the NULL */
    return 0;
}

static bool is_valid(const struct spawn *s)
{
    return s && s->program && s->argv && s->argv[0] && s->stdio[0] >= 0 && s->stdio[1] >= 0 &&
           s->stdio[2] >= 0 && (s->pass_fds || !s->pass_fds_count) &&
           (s->groups || !s->groups_count);
}

static void plan_fini(struct plan *p)
{
    eddy_free(p->candidates);
    eddy_free(p->shell_argv);
    eddy_free(p->strings);
}

static int plan_init(struct plan *p, const struct spawn *s)
{
    long limit = sysconf(_SC_OPEN_MAX);

    *p = (struct plan){.s = s, .env = s->env ? s->env : environ};
    p->fd_limit = limit < 0 || limit > INT32_MAX ? INT32_MAX : (int)limit;
    bool is_path = !*s->program || strchr(s->program, '/');
    int rc = list_candidates(p, is_path ? "" : search_path(p->env));
    if (rc == 0)
        rc = list_shell_arguments(p);
    if (rc < 0)
        plan_fini(p);
    return rc;
}

/* ---- the parent ---- */

#ifdef BY_CLONE

/* A stack below a page that nobody may touch. */
struct stack {
    char *base;
    size_t size;
};

static int stack_init(struct stack *stack)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

    stack->size = page + (STACK_SIZE + page - 1) / page * page;
    stack->base = mmap(NULL, stack->size, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (stack->base == MAP_FAILED)
        return -errno;
    if (mprotect(stack->base, page, PROT_NONE) == 0)
        return 0;
    int rc = -errno;
    munmap(stack->base, stack->size);
    return rc;
}

/* Kernels before 5.2 take no notice of CLONE_PIDFD. Without a descriptor for it there is still
 * SIGCHLD. */
static pid_t clone_child(struct plan *p, char *stack_end, int *ret_pidfd)
{
    int flags = CLONE_VM | CLONE_VFORK | SIGCHLD;
    int pidfd = -1;
    pid_t pid = clone_unnoticed(child, stack_end, flags | CLONE_PIDFD, p, &pidfd);

    if (pid < 0 && (errno == EMFILE || errno == ENFILE || errno == EINVAL)) {
        pidfd = -1;
        pid = clone_unnoticed(child, stack_end, flags, p);
    }
    *ret_pidfd = pidfd;
    return pid < 0 ? -errno : pid;
}

static pid_t make_child(struct plan *p, int *ret_pidfd)
{
    struct stack stack;
    int rc = stack_init(&stack);

    if (rc < 0)
        return rc;
    pid_t pid = clone_child(p, stack.base + stack.size, ret_pidfd);
    munmap(stack.base, stack.size);
    return pid;
}

#else

static pid_t make_child(struct plan *p, int *ret_pidfd)
{
    *ret_pidfd = -1;
    pid_t pid = vfork();
    if (pid == 0)
        _exit(child(p));
    return pid < 0 ? -errno : pid;
}

#endif

#ifdef __linux__

/* The kernel takes "may be dumped and traced" off the memory of who changes its user: that is ours.
 */
static int dumpable(void)
{
    return prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);
}

static void restore_dumpable(int before)
{
    if (before == 1 && dumpable() != 1)
        prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

#else

static int dumpable(void)
{
    return 0;
}

static void restore_dumpable(int before)
{
    (void)before;
}

#endif

static pid_t make_child_undisturbed(struct plan *p, int *ret_pidfd)
{
    int cancel_state, before = dumpable();
    sigset_t all, mask;

    memset(&all, 0xff, sizeof all); /* sigfillset leaves libc's own out */
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    set_mask(&all, &mask);
    pid_t pid = make_child(p, ret_pidfd);
    restore_dumpable(before);
    set_mask(&mask, NULL);
    pthread_setcancelstate(cancel_state, NULL);
    return pid;
}

static int wait_for_end(idtype_t type, int id, siginfo_t *ret)
{
    int rc;

    do
        rc = waitid(type, (id_t)id, ret, WEXITED);
    while (rc < 0 && errno == EINTR);
    return rc;
}

static void kill_at_once(pid_t pid, eddy_fd pidfd)
{
#ifdef SYS_pidfd_send_signal
    if (pidfd >= 0 && (syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) == 0 ||
                       (errno != ENOSYS && errno != EPERM)))
        return;
#endif
    (void)pidfd;
    kill(pid, SIGKILL);
}

/* The child has ended, or is about to. By its pidfd neither this nor the signal can meet another
 * process, should somebody have waited for all children. */
static void forget(pid_t pid, eddy_fd pidfd)
{
    siginfo_t info;
    int rc = -1;

    if (pidfd >= 0)
        rc = wait_for_end(WAIT_PIDFD, pidfd, &info);
    if (rc < 0 && (pidfd < 0 || errno == EINVAL)) /* kernels before 5.4 */
        wait_for_end(P_PID, pid, &info);
    if (pidfd >= 0)
        close(pidfd);
}

int eddy_spawn(const struct spawn *s, pid_t *ret_pid, eddy_fd *ret_pidfd, const char **ret_step)
{
    struct plan plan;
    eddy_fd pidfd = -1;

    *ret_step = "arguments";
    if (!is_valid(s))
        return -EINVAL;
    *ret_step = "memory";
    int rc = plan_init(&plan, s);
    if (rc < 0)
        return rc;
    pid_t pid = make_child_undisturbed(&plan, &pidfd);
    plan_fini(&plan);
    if (pid < 0) {
        *ret_step = "fork";
        return pid;
    }
    if (plan.error < 0) {
        forget(pid, pidfd);
        *ret_step = plan.step;
        return plan.error;
    }
    *ret_pid = pid;
    *ret_pidfd = pidfd;
    return 0;
}

void eddy_spawn_undo(pid_t pid, eddy_fd pidfd)
{
    kill_at_once(pid, pidfd);
    forget(pid, pidfd);
}
