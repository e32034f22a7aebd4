/*
 * What a child asks of the system while it borrows its parent's memory: results are -errno, and on
 * Linux nothing of libc but syscall() is involved.
 *
 * - libc's setresuid and its like ask all threads to do the same, which are the parent's;
 * - sanitizers would note the calls as the parent's;
 * - libc does not let anybody block the signals of its own.
 */
#ifndef EDDY_TRANSPORTS_SPAWN_SYS_H
#define EDDY_TRANSPORTS_SPAWN_SYS_H

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/syscall.h>
#endif

/* Code of the child. */
#if defined(__clang__) && __has_attribute(disable_sanitizer_instrumentation)
#define CHILD __attribute__((disable_sanitizer_instrumentation))
#elif defined(__clang__)
#define CHILD __attribute__((no_sanitize("address", "thread", "undefined")))
#elif defined(__GNUC__)
#define CHILD __attribute__((no_sanitize("address,thread,undefined")))
#else
#define CHILD
#endif

CHILD static inline int result(long rc)
{
    return rc < 0 ? -errno : (int)rc;
}

#ifdef __linux__

#if defined(SYS_setresuid32)
#define SET_USER SYS_setresuid32
#define SET_GROUP SYS_setresgid32
#define SET_GROUPS SYS_setgroups32
#else
#define SET_USER SYS_setresuid
#define SET_GROUP SYS_setresgid
#define SET_GROUPS SYS_setgroups
#endif

#define MASK_SIZE (_NSIG / 8)

/* What the kernel takes; zeroed it is "default" everywhere. */
struct kernel_sigaction {
#ifdef __mips__
    unsigned flags;
    void (*handler)(int);
#else
    void (*handler)(int);
    unsigned long flags;
#endif
    char rest[256];
};

CHILD static inline void exchange_action(int signum, const struct kernel_sigaction *now,
                                         struct kernel_sigaction *ret_before)
{
    if (syscall(SYS_rt_sigaction, signum, now, ret_before, MASK_SIZE) < 0)
        ret_before->handler = SIG_DFL; /* SIGKILL, SIGSTOP */
}

CHILD static inline void set_mask(const sigset_t *mask, sigset_t *ret_before)
{
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, mask, ret_before, MASK_SIZE);
}

CHILD static inline int control(int fd, int command, long arg)
{
    return result(syscall(SYS_fcntl, fd, command, arg));
}

CHILD static inline int duplicate(int fd, int to)
{
    return result(syscall(SYS_dup3, fd, to, 0));
}

CHILD static inline int set_session(void)
{
    return result(syscall(SYS_setsid));
}

CHILD static inline int set_process_group(pid_t group)
{
    return result(syscall(SYS_setpgid, 0, group));
}

CHILD static inline int set_terminal(int fd)
{
    return result(syscall(SYS_ioctl, fd, TIOCSCTTY, 0));
}

CHILD static inline void set_umask(mode_t mask)
{
    syscall(SYS_umask, mask);
}

CHILD static inline int change_folder(const char *path)
{
    return result(syscall(SYS_chdir, path));
}

CHILD static inline int set_groups(size_t count, const gid_t *groups)
{
    return result(syscall(SET_GROUPS, count, groups));
}

CHILD static inline int set_gid(gid_t gid)
{
    return result(syscall(SET_GROUP, gid, gid, gid));
}

CHILD static inline int set_uid(uid_t uid)
{
    return result(syscall(SET_USER, uid, uid, uid));
}

CHILD static inline int execute(const char *path, char *const *argv, char *const *env)
{
    return result(syscall(SYS_execve, path, argv, env));
}

#else

#define kernel_sigaction sigaction
#define handler sa_handler

static inline void exchange_action(int signum, const struct sigaction *now,
                                   struct sigaction *ret_before)
{
    if (sigaction(signum, now, ret_before) < 0)
        ret_before->sa_handler = SIG_DFL;
}

static inline void set_mask(const sigset_t *mask, sigset_t *ret_before)
{
    pthread_sigmask(SIG_SETMASK, mask, ret_before);
}

static inline int control(int fd, int command, long arg)
{
    return result(fcntl(fd, command, (int)arg));
}

static inline int duplicate(int fd, int to)
{
    return result(dup2(fd, to));
}

static inline int set_session(void)
{
    return result(setsid());
}

static inline int set_process_group(pid_t group)
{
    return result(setpgid(0, group));
}

static inline int set_terminal(int fd)
{
    return result(ioctl(fd, TIOCSCTTY, 0));
}

static inline void set_umask(mode_t mask)
{
    umask(mask);
}

static inline int change_folder(const char *path)
{
    return result(chdir(path));
}

static inline int set_groups(size_t count, const gid_t *groups)
{
    return result(setgroups((int)count, groups));
}

static inline int set_gid(gid_t gid)
{
    return result(setgid(gid));
}

static inline int set_uid(uid_t uid)
{
    return result(setuid(uid));
}

static inline int execute(const char *path, char *const *argv, char *const *env)
{
    return result(execve(path, argv, env));
}

#endif

#endif
