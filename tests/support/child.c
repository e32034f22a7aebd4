/* The program that children run: a test program started again with "--be-a-child". */
#include "tests/support/child.h"
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

extern char **environ;

static void put(int fd, const void *data, size_t len)
{
    const char *at = data;

    while (len > 0) {
        ssize_t n = write(fd, at, len);
        if (n < 0)
            _exit(97);
        at += n;
        len -= (size_t)n;
    }
}

static void put_bytes(size_t len)
{
    unsigned char buf[4096];

    for (size_t i = 0; i < len;) {
        size_t n = 0;
        for (; n < sizeof buf && i < len; n++, i++)
            buf[n] = (unsigned char)(i % 251);
        put(1, buf, n);
    }
}

static size_t take(int fd, size_t len, bool copy)
{
    char buf[65536];
    size_t done = 0;

    while (done < len) {
        size_t want = len - done < sizeof buf ? len - done : sizeof buf;
        ssize_t n = read(fd, buf, want);
        if (n < 0)
            _exit(98);
        if (n == 0)
            break;
        if (copy)
            put(1, buf, (size_t)n);
        done += (size_t)n;
    }
    return done;
}

static void keep(int fd)
{
    pid_t pid = fork();

    if (pid == 0) {
        take(fd, SIZE_MAX, false);
        _exit(0);
    }
    close(fd);
}

static void tell_fds(void)
{
    for (int fd = 0; fd < 1024; fd++) {
        if (fcntl(fd, F_GETFD) >= 0)
            dprintf(1, "%d ", fd);
    }
    dprintf(1, "\n");
}

static void tell_signals(void)
{
    sigset_t mask;
    int blocked = 0;
    struct sigaction pipe_action, usr_action;

    sigprocmask(SIG_BLOCK, NULL, &mask);
    for (int i = 1; i < 32; i++)
        blocked += sigismember(&mask, i) == 1;
    sigaction(SIGPIPE, NULL, &pipe_action);
    sigaction(SIGUSR1, NULL, &usr_action);
    dprintf(1, "%d %d %d\n", blocked, pipe_action.sa_handler == SIG_DFL,
            usr_action.sa_handler == SIG_DFL);
}

static void tell(const char *what)
{
    struct winsize size = {0};
    char path[PATH_MAX];

    if (strcmp(what, "fds") == 0) {
        tell_fds();
    } else if (strcmp(what, "signals") == 0) {
        tell_signals();
    } else if (strcmp(what, "pid") == 0) {
        dprintf(1, "%ld\n", (long)getpid());
    } else if (strcmp(what, "sid") == 0) {
        dprintf(1, "%ld\n", (long)getsid(0));
    } else if (strcmp(what, "pgid") == 0) {
        dprintf(1, "%ld\n", (long)getpgrp());
    } else if (strcmp(what, "cwd") == 0) {
        dprintf(1, "%s\n", getcwd(path, sizeof path));
    } else if (strcmp(what, "umask") == 0) {
        dprintf(1, "%o\n", (unsigned)umask(0));
    } else if (strcmp(what, "tty") == 0) {
        dprintf(1, "%d %d %d %d\n", isatty(0), isatty(1), isatty(2), tcgetpgrp(0) == getpgrp());
    } else if (strcmp(what, "ids") == 0) {
        dprintf(1, "%d %d %d\n", (int)getuid(), (int)getgid(), getgroups(0, NULL));
    } else if (strcmp(what, "size") == 0) {
        ioctl(0, TIOCGWINSZ, &size);
        dprintf(1, "%d %d\n", size.ws_row, size.ws_col);
    } else {
        for (char **e = environ; *e; e++)
            dprintf(1, "%s\n", *e);
    }
}

static void wait_for_signals(void)
{
    for (;;)
        pause();
}

/* Returns whether the word has taken the argument. */
static bool run(const char *word, const char *argument)
{
    int n = argument ? atoi(argument) : 0;
    bool alone = strcmp(word, "cat") == 0 || strcmp(word, "end") == 0 || strcmp(word, "stop") == 0;

    if (!alone && !argument)
        _exit(96);
    if (strcmp(word, "out") == 0 || strcmp(word, "err") == 0)
        put(word[0] == 'o' ? 1 : 2, argument, strlen(argument));
    else if (strcmp(word, "bytes") == 0)
        put_bytes((size_t)n);
    else if (strcmp(word, "read") == 0 && take(0, (size_t)n, false) < (size_t)n)
        _exit(99);
    else if (strcmp(word, "cat") == 0 || strcmp(word, "end") == 0)
        take(0, SIZE_MAX, word[0] == 'c');
    else if (strcmp(word, "fd") == 0)
        take(n, SIZE_MAX, false);
    else if (strcmp(word, "close") == 0)
        close(n);
    else if (strcmp(word, "keep") == 0)
        keep(n);
    else if (strcmp(word, "ignore") == 0 || strcmp(word, "default") == 0)
        signal(n, word[0] == 'i' ? SIG_IGN : SIG_DFL);
    else if (strcmp(word, "raise") == 0)
        raise(n);
    else if (strcmp(word, "stop") == 0)
        wait_for_signals();
    else if (strcmp(word, "exit") == 0)
        _exit(n);
    else if (strcmp(word, "tell") == 0)
        tell(argument);
    return !alone;
}

/* Before main, and before anything of this program has begun. (glibc gives it the arguments.) */
__attribute__((constructor)) static void be_a_child(int argc, char **argv)
{
    if (argc < 2 || strcmp(argv[1], "--be-a-child") != 0)
        return;
    for (int i = 2; i < argc;)
        i += run(argv[i], i + 1 < argc ? argv[i + 1] : NULL) ? 2 : 1;
    _exit(0);
}

void child_program(void)
{
}
