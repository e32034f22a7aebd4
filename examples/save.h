/*
 * Files that fetch and https_get save: NAME.part while they are written, NAME when all of it is
 * there. What was there before is not replaced unless that is allowed. Nothing here has to do with
 * Eddy.
 *
 * Functions return 0 or -errno.
 */
#ifndef EXAMPLES_SAVE_H
#define EXAMPLES_SAVE_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LONGEST_NAME = 200 };

struct saved_file {
    int folder; /* a descriptor of yours */
    bool force; /* replace what is there */
    char name[LONGEST_NAME + 1], part[LONGEST_NAME + 6];
    int fd;        /* NAME.part while it is written, else -1 */
    bool has_part; /* it was begun */
    int64_t size;  /* so far */
};

/* `name` is of `len` bytes without a slash, and may be any that a stranger has chosen: it stays in
 * the folder, and is not hidden there. */
static inline void save_init(struct saved_file *f, int folder, const char *name, size_t len,
                             bool force)
{
    memset(f, 0, sizeof(*f));
    f->folder = folder;
    f->force = force;
    f->fd = -1;
    snprintf(f->name, sizeof(f->name), "%.*s", len ? (int)len : 10, len ? name : "index.html");
    if (f->name[0] == '.')
        f->name[0] = '_';
    snprintf(f->part, sizeof(f->part), "%s.part", f->name);
}

/* Whether two of them would get in each other's way. */
static inline bool save_conflicts(const struct saved_file *a, const struct saved_file *b)
{
    return strcmp(a->name, b->name) == 0 || strcmp(a->name, b->part) == 0 ||
           strcmp(a->part, b->name) == 0;
}

/* Whether it cannot get its name. */
static inline bool save_is_forbidden(const struct saved_file *f)
{
    struct stat st;
    return !f->force && fstatat(f->folder, f->name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static inline int save_begin(struct saved_file *f)
{
    int flags = O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC | (f->force ? O_TRUNC : O_EXCL);

    f->fd = openat(f->folder, f->part, flags, 0666);
    f->has_part = f->fd >= 0;
    return f->has_part ? 0 : -errno;
}

static inline int save_write(struct saved_file *f, const char *data, size_t len)
{
    while (len) {
        ssize_t n = write(f->fd, data, len);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0) {
            f->size += n;
            data += n;
            len -= (size_t)n;
        }
    }
    return 0;
}

static inline int save_close(struct saved_file *f)
{
    int fd = f->fd;

    f->fd = -1;
    return fd >= 0 && close(fd) < 0 ? -errno : 0;
}

/* All of it is there: it gets its name. link, unlike rename, replaces nothing. */
static inline int save_keep(struct saved_file *f)
{
    int res = save_close(f);

    if (res < 0)
        return res;
    if (f->force)
        return renameat(f->folder, f->part, f->folder, f->name) < 0 ? -errno : 0;
    if (linkat(f->folder, f->part, f->folder, f->name, 0) < 0)
        return -errno;
    unlinkat(f->folder, f->part, 0);
    return 0;
}

/* It stays as it is, for a look at it: true if there is anything to look at. */
static inline bool save_leave(struct saved_file *f)
{
    save_close(f);
    if (f->has_part && f->size == 0)
        unlinkat(f->folder, f->part, 0);
    return f->has_part && f->size > 0;
}

#endif
