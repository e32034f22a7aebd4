/*
 * Serves the files of a folder by lines:
 *
 *     GET path                  the whole file
 *     RANGE path first count    so many bytes of it, the first one being number 0
 *     LIST                      the files of the folder itself, a line "size name" for each
 *
 * The answer is "OK length" and so many bytes, or "ERROR why". Requests may be sent without waiting
 * for answers, which come in the order of the requests.
 *
 * A file goes by sendfile: from the kernel to the kernel, at the pace of the client, without
 * memory for it here. While one is sent the client's next lines wait, so a client has one file open
 * at most. No path leads out of the folder: it is walked name by name, and neither ".." nor
 * symbolic links are followed.
 */
#define _POSIX_C_SOURCE 200809L

#include "common.h"

#include <eddy/eddy.h>
#include <eddy/sendfile.h>

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LONGEST_PATH = 1000 };

struct client {
    struct eddy_line line;
    int root; /* the folder's descriptor; the program's */
    int file; /* what is being sent, or -1 */
    int64_t length;
    struct eddy_future *sent;
    struct eddy_done done;
};

static struct client *client_of(struct eddy_line *l)
{
    return EDDY_CONTAINER_OF(l, struct client, line);
}

static void refuse(struct client *c, const char *why)
{
    eddy_transport_printf(c->line.base.transport, "ERROR %s\n", why);
}

/* ---- files ---- */

/* The descriptor of a file below the folder, or -errno. Opening does not wait for anybody, as it
 * would with a named pipe. */
static int open_below(int root, char *path)
{
    const int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
    int at = root;

    for (char *name = path, *slash; name; name = slash) {
        slash = strchr(name, '/');
        if (slash)
            *slash++ = '\0';
        int next = -EACCES;
        if (*name && strcmp(name, ".") != 0 && strcmp(name, "..") != 0)
            next = openat(at, name, slash ? flags | O_DIRECTORY : flags);
        if (next == -1)
            next = errno == ELOOP ? -EACCES : -errno; /* a symbolic link */
        if (at != root)
            close(at);
        if (next < 0)
            return next;
        at = next;
    }
    return at;
}

/* The same for files that can be sent, and their size. */
static int open_file(int root, char *path, int64_t *ret_size)
{
    struct stat st;
    int file = open_below(root, path);

    if (file < 0)
        return file;
    int res = fstat(file, &st) < 0 ? -errno : S_ISREG(st.st_mode) ? 0 : -EACCES;
    if (res < 0) {
        close(file);
        return res;
    }
    *ret_size = st.st_size;
    return file;
}

static const char *reason(int code)
{
    switch (code) {
    case -ENOENT:
    case -ENOTDIR:
    case -ENAMETOOLONG:
        return "no such file";
    case -EACCES:
        return "that is not for you";
    default:
        return eddy_strerror(code);
    }
}

/* ---- sending ---- */

static void let_go(struct client *c)
{
    eddy_future_remove_done_callback(&c->done);
    eddy_future_unref(c->sent);
    c->sent = NULL;
    if (c->file >= 0)
        close(c->file);
    c->file = -1;
}

/* The length was promised. If the file has become shorter, or cannot be read, there is no other way
 * to say so. */
static void file_sent(struct eddy_done *done, struct eddy_future *f)
{
    struct client *c = EDDY_CONTAINER_OF(done, struct client, done);
    struct eddy_transport *t = c->line.base.transport;
    void *sent;
    int res = eddy_future_result(f, &sent);

    if (res < 0)
        eddy_transport_abort(t, eddy_future_error(f));
    else if (*(int64_t *)sent < c->length)
        eddy_transport_abort(t, EDDY_ERROR(-EIO, "the file has become shorter"));
    let_go(c);
    if (!eddy_transport_is_writing_paused(t))
        eddy_transport_resume_reading(t);
}

/* From here on the file is the client's. */
static void send_file(struct client *c, int file, int64_t first, int64_t count)
{
    struct eddy_transport *t = c->line.base.transport;
    struct eddy_error err;

    c->file = file;
    c->length = count;
    eddy_transport_printf(t, "OK %" PRId64 "\n", count);
    if (count == 0) { /* which for sendfile would be the whole file */
        let_go(c);
        return;
    }
    if (eddy_transport_sendfile(
            t, file, EDDY_SENDFILE(.offset = first, .count = count, .error = &err), &c->sent) < 0) {
        eddy_transport_abort(t, &err);
        let_go(c);
        return;
    }
    eddy_transport_pause_reading(t); /* and the next lines */
    c->done.fn = file_sent;
    eddy_future_add_done_callback(c->sent, &c->done);
}

/* ---- requests ---- */

static void get(struct client *c, char *path, int64_t first, int64_t count)
{
    int64_t size;
    int file = open_file(c->root, path, &size);

    if (file < 0) {
        refuse(c, reason(file));
    } else if (first > size) {
        refuse(c, "the file ends before that");
        close(file);
    } else {
        send_file(c, file, first, count < size - first ? count : size - first);
    }
}

/* Cuts the last word off, which must be a number. */
static bool cut_number(char *text, int64_t *ret)
{
    char *blank = strrchr(text, ' '), *end;

    if (!blank || blank[1] < '0' || blank[1] > '9')
        return false;
    errno = 0;
    *ret = strtoll(blank + 1, &end, 10);
    *blank = '\0';
    return !*end && !errno;
}

static void get_range(struct client *c, char *arguments)
{
    int64_t first, count;

    if (cut_number(arguments, &count) && cut_number(arguments, &first))
        get(c, arguments, first, count);
    else
        refuse(c, "expected RANGE path first count");
}

/* Names with the end of a line in them are left out: nobody could ask for them. */
static void add_to_list(struct eddy_bytes *list, int folder, const char *name)
{
    struct stat st;
    char line[LONGEST_PATH + 32];

    if (strchr(name, '\n') || fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
        !S_ISREG(st.st_mode))
        return;
    int n = snprintf(line, sizeof(line), "%" PRId64 " %s\n", (int64_t)st.st_size, name);
    if (n > 0 && (size_t)n < sizeof(line))
        eddy_bytes_append(list, line, (size_t)n);
}

static void send_list(struct client *c)
{
    struct eddy_transport *t = c->line.base.transport;
    struct eddy_bytes list = {0};
    int fd = openat(c->root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;

    if (!folder) {
        refuse(c, eddy_strerror(-errno));
        if (fd >= 0)
            close(fd);
        return;
    }
    while ((entry = readdir(folder)) != NULL)
        add_to_list(&list, fd, entry->d_name);
    closedir(folder);
    eddy_transport_printf(t, "OK %zu\n", list.len);
    if (list.len)
        eddy_transport_write(t, list.data, list.len);
    eddy_bytes_free(&list);
}

static void line_received(struct eddy_line *l, const char *line, size_t len)
{
    struct client *c = client_of(l);
    char text[LONGEST_PATH + 1];

    if (len > LONGEST_PATH || memchr(line, '\0', len)) {
        refuse(c, "no such request");
        return;
    }
    memcpy(text, line, len);
    text[len] = '\0';
    if (strncmp(text, "GET ", 4) == 0)
        get(c, text + 4, 0, INT64_MAX);
    else if (strncmp(text, "RANGE ", 6) == 0)
        get_range(c, text + 6);
    else if (strcmp(text, "LIST") == 0)
        send_list(c);
    else
        refuse(c, "no such request");
}

/* ---- clients ---- */

static int init(struct eddy_line *l, void *arg)
{
    struct client *c = client_of(l);

    c->root = *(int *)arg;
    c->file = -1;
    return 0;
}

/* A client that asks much and reads nothing waits for its answers before it is asked again. */
static void pause_writing(struct eddy_line *l)
{
    eddy_transport_pause_reading(l->base.transport);
}

static void resume_writing(struct eddy_line *l)
{
    if (!client_of(l)->sent)
        eddy_transport_resume_reading(l->base.transport);
}

/* Whichever ends first, this or the future: nothing of the client may stay behind in the other. */
static void connection_lost(struct eddy_line *l, const struct eddy_error *err)
{
    struct client *c = client_of(l);

    (void)err;
    eddy_future_cancel(c->sent, NULL);
    eddy_future_error(c->sent); /* looked at */
    let_go(c);
}

static const struct eddy_line_class files = {
    EDDY_LINE_CLASS(struct client, line),
    .longest = LONGEST_PATH + 100,
    .init = init,
    .line_received = line_received,
    .pause_writing = pause_writing,
    .resume_writing = resume_writing,
    .connection_lost = connection_lost,
};

static void started(struct eddy_server *server, void *arg)
{
    (void)arg;
    print_addresses(server);
}

int main(int argc, char **argv)
{
    const char *backend = NULL;
    const char *host = "127.0.0.1";
    const char *folder = ".";
    int port = 7000;
    const struct option_spec options[] = {
        OPTION_BACKEND(&backend),
        OPTION_HOST(&host),
        OPTION_LISTEN_PORT(&port),
        {"--root", "DIR", "the folder whose files are served (this one)", option_text, &folder},
        {0},
    };
    parse_options(argc, argv, "",
                  "Serves the files of a folder: GET path, RANGE path first count,"
                  " LIST.",
                  options);

    int root = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0) {
        fprintf(stderr, "file_server: %s: %s\n", folder, strerror(errno));
        return 1;
    }
    int res = eddy_serve(&files.base,
                         EDDY_SERVER(.host = host, .port = port, .arg = &root, .started = started,
                                     .loop = EDDY_LOOP(.backend = backend)));
    close(root);
    return res < 0;
}
