/* A part of a file on its way out: what the ways of sending it have in common. */
#ifndef EDDY_LOOP_FILE_PART_H
#define EDDY_LOOP_FILE_PART_H

#include <eddy/backend.h>
#include <eddy/sendfile.h>

#define FILE_TURN ((size_t)1 << 20)   /* sent before others have their turn */
#define FILE_COPY ((size_t)64 * 1024) /* read at once */

struct file_part {
    int64_t sent;   /* first: the future's value */
    int64_t offset; /* of the first byte */
    int64_t taken;  /* bytes sent, or read to be sent */
    int64_t left;   /* still to be taken; the file may end before */
    eddy_fd fd;
    bool no_fallback;
    bool in_order; /* cannot be read at an offset: a pipe */
};

/* From the arguments of the user's call: -EINVAL, -E2BIG, and why in opts->error. */
int file_part_init(struct file_part *p, int file, const struct eddy_sendfile_opts *opts);

/* How much to ask the system call for; 0: nothing is left. */
static inline size_t file_part_next(const struct file_part *p, size_t max)
{
    return p->left < (int64_t)max ? (size_t)p->left : max;
}
/* The system call has sent n bytes. */
static inline void file_part_sent(struct file_part *p, size_t n)
{
    p->taken += (int64_t)n;
    p->left -= (int64_t)n;
    p->sent += (int64_t)n;
}
/* Whether what the system call says is of the socket; else it is of the file, or neither likes the
 * other. */
bool file_part_is_of_socket(int code);
/* It was of the file: 0 if that shall be copied from now on, else what to fail with. */
int file_part_refused(const struct file_part *p, int code);
/* Reads the next bytes, FILE_COPY at most, to be sent otherwise: how many; 0: nothing is left; or
 * the file's error. */
ssize_t file_part_read(struct file_part *p, struct eddy_sys *sys, void *buf);
/* No more of it will be sent: sets the file's position (contract L92). */
void file_part_end(const struct file_part *p);

/* The sentence for an error of the file; its code. */
int file_part_explain(const struct file_part *p, int code, struct eddy_error *e);

#endif
