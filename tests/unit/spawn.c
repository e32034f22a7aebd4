/* Starting programs: what the child is given, and what is left when it cannot be started. */
/* timeout: 120 */
#include "transports/spawn.h"

#include "tests/support/test.h"
#include "tests/unit/seccomp.h"
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

/* ---- the program that is started: this one, which tells what it was given and ends ---- */

#define REPORT "EDDY_TEST_REPORT" /* the descriptor to tell it to */
#define FDS 64
#define NOBODY 65534

struct report {
    ino_t fds[FDS]; /* 0: closed */
    char folder[512];
    mode_t mask;
    pid_t pid, session, group, terminal;
    uid_t uids[3];
    gid_t gids[3];
    int groups_count;
    gid_t groups[16];
    unsigned long long ignored, blocked; /* bit signum - 1 */
};

static ino_t file_at(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 ? st.st_ino : 0;
}

static void look_at_signals(struct report *r)
{
    sigset_t mask;
    sigprocmask(SIG_SETMASK, NULL, &mask);
    for (int n = 1; n < 32; n++) {
        struct sigaction sa;
        if (sigaction(n, NULL, &sa) == 0 && sa.sa_handler == SIG_IGN)
            r->ignored |= 1ull << (n - 1);
        if (sigismember(&mask, n) == 1)
            r->blocked |= 1ull << (n - 1);
    }
}

/* Before main, as the support's main would write to standard output. */
__attribute__((constructor)) static void tell(void)
{
    const char *to = getenv(REPORT);
    static struct report r;
    if (!to)
        return;
    for (int fd = 0; fd < FDS; fd++)
        r.fds[fd] = file_at(fd);
    if (!getcwd(r.folder, sizeof r.folder))
        r.folder[0] = 0;
    r.mask = umask(0);
    r.pid = getpid();
    r.session = getsid(0);
    r.group = getpgrp();
    r.terminal = tcgetsid(0);
    r.groups_count = getgroups(16, r.groups);
    if (getresuid(&r.uids[0], &r.uids[1], &r.uids[2]) < 0 ||
        getresgid(&r.gids[0], &r.gids[1], &r.gids[2]) < 0)
        _exit(2);
    look_at_signals(&r);
    _exit(write(atoi(to), &r, sizeof r) == sizeof r ? 0 : 1);
}

/* ---- starting ---- */

static char *const no_arguments[] = {(char *)"program", NULL};

static void check_no_children(void)
{
    CHECK_INT(waitpid(-1, NULL, WNOHANG), -1);
    CHECK_INT(errno, ECHILD);
}

static int end_of(pid_t pid)
{
    int status = -1, rc;
    do {
        rc = waitpid(pid, &status, 0);
    } while (rc < 0 && errno == EINTR);
    CHECK_INT(rc, pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* Spawns and waits: the end of the child. */
static int start_and_wait(const struct spawn *s)
{
    pid_t pid = -1;
    eddy_fd pidfd = -1;
    const char *step = NULL;
    int rc = eddy_spawn(s, &pid, &pidfd, &step);
    if (rc < 0) {
        FAIL("%s: %s", step, test_code(rc));
        return rc;
    }
    if (pidfd >= 0) {
        CHECK(fcntl(pidfd, F_GETFD) & FD_CLOEXEC);
        close(pidfd);
    }
    return end_of(pid);
}

static void check_refused(const struct spawn *s, int code, const char *step_expected)
{
    pid_t pid = -5;
    eddy_fd pidfd = -5;
    const char *step = NULL;
    int descriptors = test_open_descriptors();
    long live = test_live_allocations();
    CHECK_INT(eddy_spawn(s, &pid, &pidfd, &step), code);
    CHECK_STR(step, step_expected);
    CHECK_INT(pid, -5);
    CHECK_INT(pidfd, -5);
    CHECK_INT(test_open_descriptors(), descriptors);
    CHECK_INT(test_live_allocations(), live);
    check_no_children();
}

/* What the child tells, with its report's descriptor added to those passed. */
static void get_report(struct spawn *s, struct report *ret)
{
    eddy_fd passed[32];
    char number[12];
    int fds[2];
    memset(ret, 0, sizeof *ret);
    REQUIRE(pipe2(fds, O_CLOEXEC) == 0);
    int from = fcntl(fds[0], F_DUPFD_CLOEXEC, FDS); /* out of the way */
    int to = fcntl(fds[1], F_DUPFD_CLOEXEC, FDS);
    REQUIRE(from >= 0 && to >= 0);
    close(fds[0]);
    close(fds[1]);
    for (size_t i = 0; i < s->pass_fds_count; i++)
        passed[i] = s->pass_fds[i];
    struct spawn with_report = *s;
    passed[s->pass_fds_count] = to;
    with_report.pass_fds = passed;
    with_report.pass_fds_count++;
    with_report.program = "/proc/self/exe";
    with_report.argv = no_arguments;
    snprintf(number, sizeof number, "%d", to);
    setenv(REPORT, number, 1);
    CHECK_INT(start_and_wait(&with_report), 0);
    unsetenv(REPORT);
    close(to);
    CHECK_INT(read(from, ret, sizeof *ret), sizeof *ret);
    close(from);
}

#define INHERIT \
    {           \
        0, 1, 2 \
    }

/* What a program says on its standard output, in static memory. */
static const char *output_of(struct spawn s, int *ret_end)
{
    static char text[4096];
    int fds[2];
    size_t len = 0;
    ssize_t n;
    REQUIRE(pipe2(fds, O_CLOEXEC) == 0);
    s.stdio[1] = fds[1];
    *ret_end = start_and_wait(&s); /* what it says fits into the pipe */
    close(fds[1]);
    while ((n = read(fds[0], text + len, sizeof text - 1 - len)) > 0)
        len += (size_t)n;
    text[len] = 0;
    close(fds[0]);
    return text;
}

/* ---- descriptors ---- */

static int new_file(int at)
{
    int fd = memfd_create("spawn", MFD_CLOEXEC);
    REQUIRE(fd >= 0);
    if (fd != at) {
        REQUIRE(dup3(fd, at, O_CLOEXEC) == at);
        close(fd);
    }
    return at;
}

static void permute(void *user)
{
    static const int sources[] = {0, 1, 2, 7, 8};
    static struct report r;
    (void)user;
    int console = fcntl(2, F_DUPFD_CLOEXEC, 40);
    for (int i = 0; i < 5; i++)
        new_file(sources[i]);
    for (int n = 0; n < 125; n++) {
        struct spawn s = {.stdio = {sources[n % 5], sources[n / 5 % 5], sources[n / 25]}};
        get_report(&s, &r);
        for (int i = 0; i < 3; i++) {
            if (r.fds[i] != file_at(s.stdio[i]))
                FAIL("{%d, %d, %d}: %d is wrong", s.stdio[0], s.stdio[1], s.stdio[2], i);
        }
        for (int fd = 3; fd < FDS; fd++)
            CHECK_INT(r.fds[fd], 0);
    }
    dup2(console, 2);
}

static void U12_streams_are_set_up_from_any_descriptors_in_any_order(void)
{
    test_in_child(permute, NULL);
}

static void inherit_closed(void *user)
{
    static struct report r;
    (void)user;
    close(0);
    struct spawn s = {.stdio = {0, 2, 1}};
    get_report(&s, &r);
    CHECK_INT(r.fds[0], 0);
    CHECK_INT(r.fds[1], file_at(2));
    CHECK_INT(r.fds[2], file_at(1));
}

static void U7_a_stream_closed_here_is_closed_there(void)
{
    test_in_child(inherit_closed, NULL);
}

/* Whether by number or by list, nothing else is open; everything here is inheritable. */
static void pass_some(void *user)
{
    static const eddy_fd passed[] = {3, 12, 15, 2};
    static struct report r;
    (void)user;
    for (int fd = 3; fd < 30; fd++)
        REQUIRE(dup2(0, fd) == fd);
    new_file(12);
    new_file(15);
    struct spawn s = {.stdio = {15, 0, 1}, .pass_fds = passed, .pass_fds_count = 4};
    get_report(&s, &r);
    CHECK_INT(r.fds[0], file_at(15));
    CHECK_INT(r.fds[1], file_at(0));
    CHECK_INT(r.fds[2], file_at(1));
    for (int fd = 3; fd < FDS; fd++)
        CHECK_INT(r.fds[fd], fd == 3 || fd == 12 || fd == 15 ? file_at(fd) : 0);
    CHECK(fcntl(12, F_GETFD) & FD_CLOEXEC); /* ours are as they were */
}

static void U9_U10_only_the_streams_and_passed_descriptors_are_open(void)
{
    test_in_child(pass_some, NULL);
}

static void pass_some_by_list(void *user)
{
    if (forbid_system_call(SYS_close_range, ENOSYS))
        pass_some(user);
}

static void U9_nothing_else_is_open_on_kernels_without_close_range(void)
{
    test_in_child(pass_some_by_list, NULL);
}

/* There is no descriptor left to read the list from. */
static void pass_some_by_number(void *user)
{
    struct rlimit limit;
    (void)user;
    if (!forbid_system_call(SYS_close_range, ENOSYS))
        return;
    REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = 32;
    REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    while (dup(1) >= 0)
        continue;
    const char *script =
        "for n in 3 4 5 6 7 8 9 31; do [ -e /proc/$$/fd/$n ] && exit $n; done; exit 0";
    struct spawn s = {.program = "/bin/sh",
                      .argv = (char *[]){(char *)"sh", (char *)"-c", (char *)(uintptr_t)script, 0},
                      .stdio = INHERIT};
    CHECK_INT(start_and_wait(&s), 0);
}

static void U9_nothing_else_is_open_when_their_list_cannot_be_read(void)
{
    test_in_child(pass_some_by_number, NULL);
}

/* 30 is closed; and so is 3, where a stream that makes way is copied to. */
static void pass_closed(void *user)
{
    eddy_fd passed[] = {30, 3, -1};
    (void)user;
    for (int fd = 3; fd < 40; fd++)
        close(fd);
    struct spawn s = {.program = "/bin/true", .argv = no_arguments, .pass_fds_count = 1};
    s.stdio[0] = 1;
    s.stdio[1] = 0;
    s.stdio[2] = 2;
    for (int i = 0; i < 3; i++) {
        s.pass_fds = passed + i;
        check_refused(&s, -EBADF, "pass_fds");
    }
    s.pass_fds_count = 0;
    s.stdio[2] = 33;
    check_refused(&s, -EBADF, "stdio");
}

static void U10_a_closed_descriptor_among_those_passed_is_an_error(void)
{
    test_in_child(pass_closed, NULL);
}

/* The limit is met by the pidfd: the child runs without. */
static void spawn_at_limit(void *user)
{
    pid_t pid = -1;
    eddy_fd pidfd = 5;
    const char *step;
    struct rlimit limit;
    (void)user;
    REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = 20;
    REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    while (dup(1) >= 0)
        continue;
    struct spawn s = {.program = "true", .argv = no_arguments, .stdio = INHERIT};
    CHECK_INT(eddy_spawn(&s, &pid, &pidfd, &step), 0);
    CHECK_INT(pidfd, -1);
    CHECK_INT(end_of(pid), 0);
}

static void U38_a_child_needs_no_descriptor(void)
{
    test_in_child(spawn_at_limit, NULL);
}

/* ---- program, arguments, environment ---- */

static char folder[] = "/tmp/eddy-spawn-XXXXXX";

static const char *in_folder(const char *name)
{
    static char paths[4][128];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static void write_file(const char *name, const char *text, mode_t mode)
{
    FILE *f = fopen(in_folder(name), "w");
    REQUIRE(f != NULL);
    fputs(text, f);
    fclose(f);
    REQUIRE(chmod(in_folder(name), mode) == 0);
}

static void make_folder(void)
{
    strcpy(strrchr(folder, '-') + 1, "XXXXXX");
    REQUIRE(mkdtemp(folder) != NULL);
    REQUIRE(mkdir(in_folder("first"), 0755) == 0);
    REQUIRE(mkdir(in_folder("second"), 0755) == 0);
}

static void remove_folder(void)
{
    static const char *const names[] = {"first/tool", "second/tool", "first", "second", "tool"};
    for (size_t i = 0; i < 5; i++)
        remove(in_folder(names[i]));
    CHECK_INT(rmdir(folder), 0);
}

static struct spawn program(const char *name, char **argv, char **env)
{
    struct spawn s = {.program = name, .argv = argv, .env = env, .stdio = INHERIT};
    return s;
}

static void U1_arguments_arrive_unchanged(void)
{
    int end;
    char *argv[] = {(char *)"sh",  (char *)"-c", (char *)"printf '<%s>' \"$0\" \"$@\"",
                    (char *)"a b", (char *)"",   (char *)"*\n'\"$x",
                    NULL};
    CHECK_STR(output_of(program("sh", argv, NULL), &end), "<a b><><*\n'\"$x>");
    CHECK_INT(end, 0);
}

static void U10_the_environment_is_the_one_given_or_ours(void)
{
    int end;
    char *argv[] = {(char *)"env", NULL};
    char *env[] = {(char *)"A=1", (char *)"B=two words", NULL};
    CHECK_STR(output_of(program("env", argv, env), &end), "A=1\nB=two words\n");
    env[0] = NULL;
    CHECK_STR(output_of(program("env", argv, env), &end), "");
    setenv("EDDY_TEST_OURS", "yes", 1);
    CHECK(strstr(output_of(program("env", argv, NULL), &end), "EDDY_TEST_OURS=yes\n") != NULL);
    unsetenv("EDDY_TEST_OURS");
}

/* As execvp does, and Python. */
static void U1_programs_are_searched_in_the_path_of_the_childs_environment(void)
{
    int end;
    char path[256];
    char *argv[] = {(char *)"tool", (char *)"x", NULL}, *env[] = {path, NULL};
    make_folder();
    snprintf(path, sizeof path, "PATH=%s:%s/none:%s", in_folder("first"), folder,
             in_folder("second"));
    struct spawn s = program("tool", argv, env);
    check_refused(&s, -ENOENT, "exec");
    write_file("second/tool", "#!/bin/sh\necho second $1", 0755);
    CHECK_STR(output_of(s, &end), "second x\n");
    write_file("first/tool", "", 0644); /* is passed over */
    CHECK_STR(output_of(s, &end), "second x\n");
    remove(in_folder("second/tool"));
    check_refused(&s, -EACCES, "exec");
    write_file("first/tool", "#!/bin/sh\necho first $1", 0755);
    CHECK_STR(output_of(s, &end), "first x\n");
    write_file("first/tool", "#!/none\n", 0755);
    check_refused(&s, -ENOENT, "exec");
    remove_folder();
}

static void U1_a_program_without_a_format_is_run_by_the_shell(void)
{
    int end;
    char *argv[] = {(char *)"other", (char *)"a b", (char *)"c", NULL};
    make_folder();
    write_file("tool", "printf '<%s>' \"${0##*/}\" \"$@\"", 0755);
    CHECK_STR(output_of(program(in_folder("tool"), argv, NULL), &end), "<tool><a b><c>");
    remove_folder();
}

static void U2_a_program_that_is_not_there_is_an_error(void)
{
    char *argv[] = {(char *)"x", NULL};
    struct spawn s = program("/none/x", argv, NULL);
    check_refused(&s, -ENOENT, "exec");
    s.program = "/dev";
    check_refused(&s, -EACCES, "exec");
    s.program = "/dev/null/x";
    check_refused(&s, -ENOTDIR, "exec");
    s.program = "";
    check_refused(&s, -ENOENT, "exec");
}

static void U4_missing_arguments_are_refused(void)
{
    char *none[] = {NULL};
    struct spawn s = program("true", none, NULL);
    check_refused(&s, -EINVAL, "arguments");
    s.argv = NULL;
    check_refused(&s, -EINVAL, "arguments");
    s = program(NULL, (char **)(uintptr_t)no_arguments, NULL);
    check_refused(&s, -EINVAL, "arguments");
    s.program = "true";
    s.stdio[2] = -1;
    check_refused(&s, -EINVAL, "arguments");
    s.stdio[2] = 2;
    s.pass_fds_count = 1;
    check_refused(&s, -EINVAL, "arguments");
}

/* ---- the process ---- */

static void U10_the_folder_is_changed_before_the_program_is_looked_for(void)
{
    static struct report r;
    int end;
    char *argv[] = {(char *)"tool", NULL};
    make_folder();
    struct spawn s = {.stdio = INHERIT, .cwd = folder};
    get_report(&s, &r);
    CHECK_STR(r.folder, folder);
    write_file("tool", "#!/bin/sh\necho here", 0755);
    s = program("./tool", argv, NULL);
    check_refused(&s, -ENOENT, "exec");
    s.cwd = folder;
    CHECK_STR(output_of(s, &end), "here\n");
    s.cwd = in_folder("none");
    check_refused(&s, -ENOENT, "chdir");
    s.cwd = in_folder("tool");
    check_refused(&s, -ENOTDIR, "chdir");
    remove_folder();
}

static void U10_the_umask_is_the_childs_own(void)
{
    static struct report r;
    struct spawn s = {.stdio = INHERIT};
    mode_t before = umask(026);
    get_report(&s, &r);
    CHECK_INT(r.mask, 026);
    s.set_umask = true;
    get_report(&s, &r);
    CHECK_INT(r.mask, 0);
    s.umask = 077;
    get_report(&s, &r);
    CHECK_INT(r.mask, 077);
    CHECK_INT(umask(before), 026);
}

static void U40_a_new_session_is_led_by_the_child(void)
{
    static struct report r;
    struct spawn s = {.stdio = INHERIT};
    get_report(&s, &r);
    CHECK_INT(r.session, getsid(0));
    CHECK_INT(r.group, getpgrp());
    s.new_session = true;
    get_report(&s, &r);
    CHECK_INT(r.session, r.pid);
    CHECK_INT(r.group, r.pid);
}

static void U10_process_groups_are_made_and_joined(void)
{
    static struct report r;
    pid_t pid;
    eddy_fd pidfd;
    const char *step;
    struct spawn s = {.stdio = INHERIT, .set_process_group = true};
    get_report(&s, &r);
    CHECK_INT(r.session, getsid(0));
    CHECK_INT(r.group, r.pid);

    struct spawn leader = s;
    leader.program = "cat"; /* waits for us */
    leader.argv = no_arguments;
    int fds[2];
    REQUIRE(pipe2(fds, O_CLOEXEC) == 0);
    leader.stdio[0] = fds[0];
    REQUIRE(eddy_spawn(&leader, &pid, &pidfd, &step) == 0);
    s.process_group = pid;
    get_report(&s, &r);
    CHECK_INT(r.group, pid);
    CHECK_INT(kill(pid, 0), 0);
    eddy_spawn_undo(pid, pidfd);
    check_no_children();
    close(fds[0]);
    close(fds[1]);
    s.program = "true";
    s.argv = no_arguments;
    check_refused(&s, -EPERM, "setpgid"); /* there is no such group any more */
}

static void U10_a_terminal_becomes_the_childs_own(void)
{
    static struct report r;
    int ours = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    REQUIRE(ours >= 0 && grantpt(ours) == 0 && unlockpt(ours) == 0);
    int theirs = open(ptsname(ours), O_RDWR | O_NOCTTY | O_CLOEXEC);
    REQUIRE(theirs >= 0);
    struct spawn s = {.stdio = {theirs, theirs, theirs}, .terminal = true};
    get_report(&s, &r);
    CHECK_INT(r.session, r.pid);
    CHECK_INT(r.terminal, r.pid);
    close(theirs);
    close(ours);
    int fds[2];
    REQUIRE(pipe2(fds, O_CLOEXEC) == 0);
    s.stdio[0] = fds[0];
    s.stdio[1] = s.stdio[2] = fds[1];
    s.program = "true";
    s.argv = no_arguments;
    check_refused(&s, -ENOTTY, "terminal");
    close(fds[0]);
    close(fds[1]);
}

static void *do_nothing(void *arg)
{
    pthread_mutex_t *until = arg;
    pthread_mutex_lock(until);
    pthread_mutex_unlock(until);
    return NULL;
}

/* The child's alone: libc would change all threads of the process. */
static void be_somebody_else(void *user)
{
    static struct report r;
    static const gid_t groups[] = {NOBODY - 1, NOBODY - 2};
    pthread_mutex_t until = PTHREAD_MUTEX_INITIALIZER;
    pthread_t other;
    (void)user;
    pthread_mutex_lock(&until);
    REQUIRE(pthread_create(&other, NULL, do_nothing, &until) == 0);
    struct spawn s = {.stdio = INHERIT,
                      .set_uid = true,
                      .uid = NOBODY,
                      .set_gid = true,
                      .gid = NOBODY - 3,
                      .set_groups = true,
                      .groups = groups,
                      .groups_count = 2};
    int dumpable = (int)prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);
    get_report(&s, &r);
    for (int i = 0; i < 3; i++) {
        CHECK_INT(r.uids[i], NOBODY);
        CHECK_INT(r.gids[i], NOBODY - 3);
    }
    CHECK_INT(r.groups_count, 2);
    CHECK_INT(r.groups[0] + r.groups[1], 2 * NOBODY - 3);
    CHECK_INT(getuid(), 0);
    CHECK_INT(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), dumpable);
    pthread_mutex_unlock(&until);
    pthread_join(other, NULL);
}

static void may_not(void *user)
{
    (void)user;
    if (getuid() == 0 && setresuid(NOBODY, NOBODY, NOBODY) < 0)
        return;
    struct spawn s = {.stdio = INHERIT, .program = "true", .argv = no_arguments, .set_uid = true};
    check_refused(&s, -EPERM, "setuid");
    s.set_gid = true;
    s.gid = getgid() + 1;
    check_refused(&s, -EPERM, "setgid");
    s.set_groups = true;
    check_refused(&s, -EPERM, "setgroups");
}

static void U10_the_child_runs_as_another_user(void)
{
    if (getuid() == 0)
        test_in_child(be_somebody_else, NULL);
    test_in_child(may_not, NULL);
}

/* ---- signals ---- */

static void on_signal(int signum)
{
    (void)signum;
}

static void with_signals(void *user)
{
    static struct report r, before;
    sigset_t mask;
    struct spawn s = {.stdio = INHERIT};
    struct sigaction sa;
    (void)user;
    signal(SIGHUP, SIG_DFL);
    get_report(&s, &before);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGUSR1, on_signal);
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR2);
    sigaddset(&mask, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &mask, NULL);
    get_report(&s, &r);
    CHECK_INT(r.blocked, 0);
    CHECK_INT(r.ignored, before.ignored | 1ull << (SIGHUP - 1));
    pthread_sigmask(SIG_BLOCK, NULL, &mask);
    CHECK(sigismember(&mask, SIGUSR2) == 1 && sigismember(&mask, SIGTERM) == 1);
    CHECK(sigismember(&mask, SIGUSR1) == 0);
    CHECK(sigaction(SIGUSR1, NULL, &sa) == 0 && sa.sa_handler == on_signal);
    CHECK(sigaction(SIGPIPE, NULL, &sa) == 0 && sa.sa_handler == SIG_IGN);
}

static void U11_G26_signals_are_unblocked_and_at_default_but_for_those_ignored(void)
{
    test_in_child(with_signals, NULL);
}

static pid_t parent;
static atomic_int here, elsewhere;

static void note_process(int signum)
{
    (void)signum;
    atomic_fetch_add(syscall(SYS_getpid) == parent ? &here : &elsewhere, 1);
}

static void *storm(void *arg)
{
    atomic_bool *over = arg;
    while (!*over)
        kill(0, SIGURG); /* all of the group, children too, who by default take no notice */
    return NULL;
}

static void spawn_in_storm(void *user)
{
    atomic_bool over = false;
    pthread_t thread;
    (void)user;
    REQUIRE(setpgid(0, 0) == 0);
    parent = getpid();
    signal(SIGURG, note_process);
    REQUIRE(pthread_create(&thread, NULL, storm, &over) == 0);
    struct spawn s = {.stdio = INHERIT, .program = "/bin/true", .argv = no_arguments};
    for (int i = 0; i < 200; i++)
        CHECK_INT(start_and_wait(&s), 0);
    over = true;
    pthread_join(thread, NULL);
    CHECK(here > 0);
    CHECK_INT(elsewhere, 0);
}

static void U11_no_handler_of_ours_runs_in_the_child(void)
{
    test_in_child(spawn_in_storm, NULL);
}

/* ---- failures ---- */

static void G5_each_allocation_fails_once_and_nothing_is_left(void)
{
    struct spawn s = {.stdio = INHERIT, .program = "true", .argv = no_arguments};
    long n = 0;
    do {
        test_fail_allocation(++n);
        pid_t pid = -1;
        eddy_fd pidfd = -1;
        const char *step;
        long live = test_live_allocations();
        int rc = eddy_spawn(&s, &pid, &pidfd, &step);
        CHECK_INT(test_live_allocations(), live);
        if (!test_allocation_failed()) {
            REQUIRE(rc == 0);
            eddy_spawn_undo(pid, pidfd);
            break;
        }
        CHECK_INT(rc, -ENOMEM);
        CHECK_STR(step, "memory");
        check_no_children();
    } while (n < 20);
    test_fail_allocation(0);
    CHECK_INT(n, 4);
}

#ifndef EDDY_SPAWN_VFORK

static void forbid_and_spawn(void *user)
{
    struct spawn s = {.stdio = INHERIT, .program = "true", .argv = no_arguments};
    long number = *(long *)user;
    if (!forbid_system_call(number, EAGAIN))
        return;
    check_refused(&s, -EAGAIN, "fork");
}

static void U2_a_process_that_is_refused_is_an_error(void)
{
    test_in_child(forbid_and_spawn, &(long){SYS_clone});
    test_in_child(forbid_and_spawn, &(long){SYS_mprotect});
}

#endif

static void U6_a_child_started_in_vain_is_undone(void)
{
    pid_t pid;
    eddy_fd pidfd;
    const char *step;
    int fds[2];
    REQUIRE(pipe2(fds, O_CLOEXEC) == 0);
    struct spawn s = {.stdio = {fds[0], 1, 2}, .program = "cat", .argv = no_arguments};
    REQUIRE(eddy_spawn(&s, &pid, &pidfd, &step) == 0);
    eddy_spawn_undo(pid, pidfd);
    check_no_children();
    close(fds[0]);
    close(fds[1]);
}

const struct test_case test_cases[] = {
    TEST(U12_streams_are_set_up_from_any_descriptors_in_any_order),
    TEST(U7_a_stream_closed_here_is_closed_there),
    TEST(U9_U10_only_the_streams_and_passed_descriptors_are_open),
    TEST(U9_nothing_else_is_open_on_kernels_without_close_range),
    TEST(U9_nothing_else_is_open_when_their_list_cannot_be_read),
    TEST(U10_a_closed_descriptor_among_those_passed_is_an_error),
    TEST(U38_a_child_needs_no_descriptor),
    TEST(U1_arguments_arrive_unchanged),
    TEST(U10_the_environment_is_the_one_given_or_ours),
    TEST(U1_programs_are_searched_in_the_path_of_the_childs_environment),
    TEST(U1_a_program_without_a_format_is_run_by_the_shell),
    TEST(U2_a_program_that_is_not_there_is_an_error),
    TEST(U4_missing_arguments_are_refused),
    TEST(U10_the_folder_is_changed_before_the_program_is_looked_for),
    TEST(U10_the_umask_is_the_childs_own),
    TEST(U40_a_new_session_is_led_by_the_child),
    TEST(U10_process_groups_are_made_and_joined),
    TEST(U10_a_terminal_becomes_the_childs_own),
    TEST(U10_the_child_runs_as_another_user),
    TEST(U11_G26_signals_are_unblocked_and_at_default_but_for_those_ignored),
    TEST(U11_no_handler_of_ours_runs_in_the_child),
    TEST(G5_each_allocation_fails_once_and_nothing_is_left),
#ifndef EDDY_SPAWN_VFORK
    TEST(U2_a_process_that_is_refused_is_an_error),
#endif
    TEST(U6_a_child_started_in_vain_is_undone),
    TEST_END,
};
