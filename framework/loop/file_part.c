#include "framework/loop/file_part.h"

#include "framework/base/opts.h"
#include <errno.h>
#include <unistd.h>

int file_part_init(struct file_part *p, int file, const struct eddy_sendfile_opts *opts)
{
    static const struct eddy_sendfile_opts defaults = {.abi_size = sizeof defaults};

    if (!opts)
        opts = &defaults;
    int rc = eddy_opts_check(opts, opts->abi_size, sizeof *opts);
    if (rc == -EINVAL)
        return rc;
    if (rc < 0)
        return eddy_error_set(opts->error, rc, "sendfile", "sendfile: options of a later version");
    if (file < 0)
        return eddy_error_set(opts->error, -EINVAL, "sendfile", "sendfile: no file");
    if (opts->offset < 0 || opts->count < 0)
        return eddy_error_set(opts->error, -EINVAL, "sendfile",
                              "sendfile: .offset and .count must not be negative");
    int64_t most = INT64_MAX - opts->offset;
    *p = (struct file_part){
        .offset = opts->offset,
        .left = opts->count > 0 && opts->count < most ? opts->count : most,
        .fd = file,
        .no_fallback = opts->no_fallback,
    };
    return 0;
}

bool file_part_is_of_socket(int code)
{
    switch (-code) {
    case EPIPE:
    case ECONNRESET:
    case ECONNABORTED:
    case ENOTCONN:
    case ETIMEDOUT:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case ENETDOWN:
    case ENETRESET:
    case ENOBUFS:
        return true;
    default:
        return false;
    }
}

int file_part_refused(const struct file_part *p, int code)
{
    if (!p->no_fallback)
        return 0;
    return p->sent > 0 ? code : EDDY_ESENDFILE_NA;
}

/* Not every table of system calls has to do with files. */
static ssize_t read_file(const struct file_part *p, struct eddy_sys *sys, void *buf, size_t len)
{
    if (!sys->cls->read_file)
        sys = eddy_sys_posix();
    return sys->cls->read_file(sys, p->fd, buf, len, p->in_order ? -1 : p->offset + p->taken);
}

ssize_t file_part_read(struct file_part *p, struct eddy_sys *sys, void *buf)
{
    size_t len = file_part_next(p, FILE_COPY);

    if (len == 0)
        return 0;
    ssize_t n = read_file(p, sys, buf, len);
    if (n == -ESPIPE && !p->in_order && p->offset == 0) {
        p->in_order = true;
        n = read_file(p, sys, buf, len);
    }
    if (n > 0) {
        p->taken += n;
        p->left -= n;
    }
    return n;
}

void file_part_end(const struct file_part *p)
{
    if (!p->in_order)
        (void)lseek(p->fd, (off_t)(p->offset + p->sent), SEEK_SET); /* where there is one */
}

int file_part_explain(const struct file_part *p, int code, struct eddy_error *e)
{
    return eddy_error_set(e, code, "sendfile", "sendfile: after %lld bytes of file %d: %s",
                          (long long)p->sent, p->fd, eddy_strerror(code));
}
