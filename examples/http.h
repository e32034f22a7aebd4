/*
 * What fetch and https_get have to know of HTTP/1.1 (RFC 9110, RFC 9112), and nothing of Eddy:
 * URLs, and a reader of responses that is given the bytes in whatever pieces they come.
 *
 * A server may send anything. So everything that is kept has a limit, and what is not plainly
 * allowed is an error: to guess where a response ends is to take one server's bytes for another's.
 */
#ifndef EXAMPLES_HTTP_H
#define EXAMPLES_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* ---- URLs ---- */

enum {
    URL_LONGEST = 2000, /* with everything */
    HOST_LONGEST = 255,
};

struct url {
    char host[HOST_LONGEST + 1]; /* without the brackets of [::1] */
    int port;
    char authority[HOST_LONGEST + 10]; /* host and port as a Host header has them */
    char target[URL_LONGEST + 1];      /* path and query: "/folder/file?x=1" */
};

/* Blanks and control characters have no place in a URL, and would end a line of the request. */
static inline bool url_is_clean(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text <= ' ' || *text == 127 || *text == '\\')
            return false;
    return true;
}

/* "host", "host:80", "[::1]" or "[::1]:80", of `len` bytes; a URL without a port has the scheme's,
 * `usual`. */
static inline const char *url_parse_authority(const char *text, size_t len, int usual,
                                              struct url *url)
{
    const char *end = text + len;
    const char *host = text, *host_end = memchr(text, ':', len), *port;

    if (memchr(text, '@', len))
        return "names and passwords in it are not supported";
    if (len && *text == '[') {
        host = text + 1;
        host_end = memchr(text, ']', len);
        if (!host_end)
            return "the ] after the address is missing";
        port = host_end + 1;
    } else {
        host_end = host_end ? host_end : end;
        port = host_end;
    }
    if (host_end == host || host_end - host > HOST_LONGEST)
        return "it has no host, or one that is too long";
    url->port = usual;
    if (port < end && (*port != ':' || end - port > 6))
        return "the port is not a number";
    if (port + 1 < end)
        for (url->port = 0; ++port < end; url->port = url->port * 10 + (*port - '0'))
            if (*port < '0' || *port > '9')
                return "the port is not a number";
    if (url->port < 1 || url->port > 65535)
        return "the port is not one from 1 to 65535";
    memcpy(url->host, host, (size_t)(host_end - host));
    url->host[host_end - host] = '\0';
    const char *form = *text == '[' ? "[%s]:%d" : "%s:%d";
    snprintf(url->authority, sizeof(url->authority), form, url->host, url->port);
    if (url->port == usual)
        *strrchr(url->authority, ':') = '\0';
    return NULL;
}

/* What is behind the scheme. */
static inline const char *url_parse_rest(const char *text, int usual_port, struct url *url)
{
    size_t host_len = strcspn(text, "/?#");
    const char *wrong = url_parse_authority(text, host_len, usual_port, url);

    if (wrong)
        return wrong;
    text += host_len;
    snprintf(url->target, sizeof(url->target), "%s%.*s", *text == '/' ? "" : "/",
             (int)strcspn(text, "#"), text);
    return NULL;
}

static inline const char *url_check(const char *text)
{
    if (strlen(text) > URL_LONGEST - 1)
        return "it is too long";
    return url_is_clean(text) ? NULL : "it has characters that a URL cannot have";
}

static inline bool url_has_scheme(const char *text)
{
    return strncmp(text + strcspn(text, ":/?#"), "://", 3) == 0;
}

/* Returns what is wrong with it, or NULL. A URL without a scheme is one of http. */
static inline const char *url_parse(const char *text, struct url *url)
{
    const char *wrong = url_check(text);

    if (wrong)
        return wrong;
    if (strncasecmp(text, "https://", 8) == 0)
        return "https is not spoken here: there is no TLS";
    if (strncasecmp(text, "http://", 7) == 0)
        text += 7;
    else if (url_has_scheme(text))
        return "only http is spoken here";
    return url_parse_rest(text, 80, url);
}

/* The same, of https. */
static inline const char *url_parse_https(const char *text, struct url *url)
{
    const char *wrong = url_check(text);

    if (wrong)
        return wrong;
    if (strncasecmp(text, "https://", 8) == 0)
        text += 8;
    else if (url_has_scheme(text))
        return "only https is spoken here";
    return url_parse_rest(text, 443, url);
}

/* Where a Location header points to, seen from `base`. (Servers take "/a/../b" for what it is.) */
static inline const char *url_join(const struct url *base, const char *location, struct url *url)
{
    char text[HOST_LONGEST + 2 * URL_LONGEST + 32];
    size_t kept = 0; /* bytes of the base's target */

    if (strlen(location) >= URL_LONGEST)
        return "it is too long";
    if (strncmp(location, "//", 2) == 0)
        return url_parse(location + 2, url);
    if (strcspn(location, ":") < strcspn(location, "/?#"))
        return url_parse(location, url);
    if (*location == '?' || *location == '#' || !*location)
        kept = strcspn(base->target, *location == '?' ? "?" : "");
    else if (*location != '/')
        for (size_t i = 0; base->target[i] && base->target[i] != '?'; i++)
            if (base->target[i] == '/')
                kept = i + 1;
    snprintf(text, sizeof(text), "http://%s%.*s%s", base->authority, (int)kept, base->target,
             location);
    return url_parse(text, url);
}

/* ---- responses ---- */

enum {
    HTTP_LONGEST_LINE = 8192,
    HTTP_LARGEST_HEAD = 65536, /* all header lines of a response, or all its trailers */
    HTTP_MOST_INTERIM = 16,    /* responses 1xx before the one that counts */
};

enum http_state {
    HTTP_STATUS_LINE,
    HTTP_HEADERS,
    HTTP_COUNTED,    /* `left` bytes of the body are to come */
    HTTP_UNTIL_END,  /* the body ends with the connection */
    HTTP_CHUNK_SIZE, /* ... or comes in chunks, each behind a line with its size, */
    HTTP_CHUNK,      /* `left` bytes of one are to come, */
    HTTP_CHUNK_END,  /* then the end of a line, */
    HTTP_TRAILERS,   /* and after the last one maybe more headers */
    HTTP_COMPLETE,
    HTTP_FAILED,
};

/* Zeroed it waits for a response. Read what is behind `error`; `status` is 0 before HTTP_HEAD. */
struct http_response {
    enum http_state state;
    int interim;
    size_t head; /* bytes of the head, or of the trailers, so far */
    size_t line_len;
    char line[HTTP_LONGEST_LINE + 1];
    bool close, keep_alive; /* what the server said */
    bool has_length, chunked;
    int64_t left;

    const char *error; /* of HTTP_BAD */
    int minor;         /* of the version: 0 or 1 */
    int status;
    char reason[64];
    int64_t length;                 /* of the body if it is known beforehand, else -1 */
    int64_t arrived;                /* bytes of the body so far */
    char location[URL_LONGEST + 1]; /* "" if there is none */
};

enum http_event {
    HTTP_MORE, /* all is read: wait for more */
    HTTP_HEAD, /* the status and the headers are there */
    HTTP_BODY, /* a piece of the body */
    HTTP_END,  /* the response is complete; what is left over does not belong to it */
    HTTP_BAD,  /* this is no response: see .error, and read no further */
};

static inline enum http_event http_bad(struct http_response *r, const char *error)
{
    r->state = HTTP_FAILED;
    r->error = error;
    return HTTP_BAD;
}

/* ---- lines ---- */

/* Copies up to the end of the line. True: r->line has a whole one, without its end. */
static inline bool http_read_line(struct http_response *r, const char **data, size_t *len)
{
    const char *end = memchr(*data, '\n', *len);
    size_t n = end ? (size_t)(end - *data) + 1 : *len;

    r->head += n;
    if (n > HTTP_LONGEST_LINE - r->line_len || r->head > HTTP_LARGEST_HEAD) {
        http_bad(r, "a line is too long, or there are too many");
        return false;
    }
    memcpy(r->line + r->line_len, *data, n);
    r->line_len += n;
    *data += n;
    *len -= n;
    if (!end)
        return false;
    r->line_len--;
    if (r->line_len && r->line[r->line_len - 1] == '\r')
        r->line_len--;
    r->line[r->line_len] = '\0';
    for (size_t i = 0; i < r->line_len; i++)
        if (((unsigned char)r->line[i] < ' ' && r->line[i] != '\t') || r->line[i] == 127) {
            http_bad(r, "a control character in a line");
            return false;
        }
    r->line_len = 0; /* for the next one */
    return true;
}

/* At most `most` digits of base 10 or 16, and nothing else. */
static inline bool http_number(const char *text, size_t len, int base, size_t most, int64_t *ret)
{
    static const char digits[] = "0123456789abcdef";
    int64_t n = 0;

    if (len == 0 || len > most)
        return false;
    for (; len--; text++) {
        int lower = *text >= 'A' && *text <= 'F' ? *text - 'A' + 'a' : *text;
        const char *digit = lower ? strchr(digits, lower) : NULL;
        if (!digit || digit - digits >= base)
            return false;
        n = n * base + (digit - digits);
    }
    *ret = n;
    return true;
}

/* Whether a list such as "close, TE" has this word. */
static inline bool http_list_has(const char *list, const char *word)
{
    size_t len = strlen(word);

    while (*list) {
        list += strspn(list, " \t,");
        size_t n = strcspn(list, " \t,");
        if (n == len && strncasecmp(list, word, len) == 0)
            return true;
        list += n;
    }
    return false;
}

/* ---- the head ---- */

/* "HTTP/1.1 200 OK"; the reason may be missing. */
static inline bool http_status_line(struct http_response *r)
{
    const char *line = r->line;
    int64_t minor, status;

    if (strncmp(line, "HTTP/1.", 7) != 0 || !http_number(line + 7, 1, 10, 1, &minor) ||
        line[8] != ' ' || !http_number(line + 9, strcspn(line + 9, " "), 10, 3, &status) ||
        status < 100 || status > 599)
        return false;
    r->minor = (int)minor;
    r->status = (int)status;
    const char *reason = line[12] ? line + 13 : "";
    snprintf(r->reason, sizeof(r->reason), "%s", reason);
    for (char *c = r->reason; *c; c++)
        if (*c & 0x80) /* of no known encoding */
            *c = '?';
    return true;
}

static inline const char *http_length_header(struct http_response *r, const char *value)
{
    int64_t length;

    if (!http_number(value, strlen(value), 10, 18, &length))
        return "its length is not a number";
    if (r->has_length && r->length != length)
        return "it has two lengths";
    r->has_length = true;
    r->length = length;
    return NULL;
}

/* "Name: value". Returns what is wrong with it. */
static inline const char *http_header(struct http_response *r)
{
    static const char token[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                                "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    char *name = r->line;
    size_t n = strspn(name, token);

    if (n == 0 || name[n] != ':')
        return "a header that is none"; /* blanks before the name or the colon, for example */
    name[n] = '\0';
    char *value = name + n + 1;
    value += strspn(value, " \t");
    for (char *end = value + strlen(value); end > value && strchr(" \t", end[-1]);)
        *--end = '\0';
    if (strcasecmp(name, "Content-Length") == 0)
        return http_length_header(r, value);
    if (strcasecmp(name, "Transfer-Encoding") == 0) {
        if (r->chunked || strcasecmp(value, "chunked") != 0)
            return "a transfer encoding other than chunked";
        r->chunked = true;
    } else if (strcasecmp(name, "Connection") == 0) {
        r->close |= http_list_has(value, "close");
        r->keep_alive |= http_list_has(value, "keep-alive");
    } else if (strcasecmp(name, "Location") == 0) {
        if (strlen(value) > URL_LONGEST)
            return "its location is too long";
        snprintf(r->location, sizeof(r->location), "%.*s", URL_LONGEST, value);
    }
    return NULL;
}

/* An interim response is over: the next one is looked at as if it were the first. */
static inline enum http_event http_interim(struct http_response *r)
{
    if (r->status == 101)
        return http_bad(r, "a switch of protocols that nobody asked for");
    if (++r->interim > HTTP_MOST_INTERIM)
        return http_bad(r, "too many interim responses");
    r->close = r->keep_alive = r->has_length = r->chunked = false;
    r->location[0] = '\0';
    r->status = 0;
    r->state = HTTP_STATUS_LINE;
    return HTTP_MORE;
}

/* Where the body ends (RFC 9112 6.3). */
static inline enum http_event http_head_is_complete(struct http_response *r)
{
    if (r->status < 200)
        return http_interim(r);
    if (r->chunked && (r->has_length || r->minor == 0))
        r->close = true; /* somebody on the way may see another end than we do */
    bool none = r->status == 204 || r->status == 304;
    if (none || r->chunked || !r->has_length)
        r->length = none ? 0 : -1;
    if (!none && r->chunked)
        r->state = HTTP_CHUNK_SIZE;
    else if (r->length > 0)
        r->state = HTTP_COUNTED;
    else
        r->state = r->length == 0 ? HTTP_COMPLETE : HTTP_UNTIL_END;
    r->left = r->length;
    r->head = 0; /* of the first line with the size of a chunk */
    return HTTP_HEAD;
}

/* Whether another request may be sent on this connection when the response is complete. */
static inline bool http_keeps_connection(const struct http_response *r)
{
    return r->state == HTTP_COMPLETE && !r->close && (r->minor >= 1 || r->keep_alive);
}

/* ---- the body ---- */

/* "1f;extensions" */
static inline enum http_event http_chunk_size(struct http_response *r)
{
    size_t digits = strcspn(r->line, "; \t");

    if (!http_number(r->line, digits, 16, 15, &r->left))
        return http_bad(r, "the size of a chunk is not a number");
    if (r->left > INT64_MAX / 2 - r->arrived)
        return http_bad(r, "a chunk is too large");
    r->head = 0;
    r->state = r->left ? HTTP_CHUNK : HTTP_TRAILERS;
    return HTTP_MORE;
}

static inline enum http_event http_body(struct http_response *r, const char **data, size_t *len,
                                        const char **ret_body, size_t *ret_len)
{
    size_t n = *len;

    if (r->state != HTTP_UNTIL_END) {
        if ((int64_t)n > r->left)
            n = (size_t)r->left;
        r->left -= (int64_t)n;
        if (r->left == 0)
            r->state = r->state == HTTP_CHUNK ? HTTP_CHUNK_END : HTTP_COMPLETE;
    }
    *ret_body = *data;
    *ret_len = n;
    *data += n;
    *len -= n;
    r->arrived += (int64_t)n;
    return HTTP_BODY;
}

/* ---- all of it ---- */

/* r->line is a whole line. HTTP_MORE: there is nothing to tell. */
static inline enum http_event http_line(struct http_response *r)
{
    const char *wrong = NULL;

    switch (r->state) {
    case HTTP_STATUS_LINE:
        r->state = HTTP_HEADERS;
        return http_status_line(r) ? HTTP_MORE : http_bad(r, "it does not begin as HTTP/1 does");
    case HTTP_HEADERS:
        if (!*r->line)
            return http_head_is_complete(r);
        wrong = http_header(r);
        return wrong ? http_bad(r, wrong) : HTTP_MORE;
    case HTTP_CHUNK_SIZE:
        return http_chunk_size(r);
    case HTTP_CHUNK_END:
        r->state = HTTP_CHUNK_SIZE;
        return *r->line ? http_bad(r, "a chunk is longer than its size") : HTTP_MORE;
    default: /* trailers: nobody wants them */
        if (!*r->line)
            r->state = HTTP_COMPLETE;
        return HTTP_MORE;
    }
}

/* Reads on, and returns what has happened; *data and *len become what is left. Call it until it
 * returns HTTP_MORE, HTTP_END or HTTP_BAD. The bytes of HTTP_BODY are lent as `data` is. */
static inline enum http_event http_next(struct http_response *r, const char **data, size_t *len,
                                        const char **ret_body, size_t *ret_len)
{
    while (r->state != HTTP_COMPLETE && r->state != HTTP_FAILED && *len) {
        if (r->state == HTTP_COUNTED || r->state == HTTP_UNTIL_END || r->state == HTTP_CHUNK)
            return http_body(r, data, len, ret_body, ret_len);
        if (!http_read_line(r, data, len))
            continue;
        enum http_event event = http_line(r);
        if (event != HTTP_MORE)
            return event;
    }
    return r->state == HTTP_COMPLETE ? HTTP_END : r->state == HTTP_FAILED ? HTTP_BAD : HTTP_MORE;
}

/* The connection has ended: true if that was the end of the response. */
static inline bool http_end(struct http_response *r)
{
    if (r->state == HTTP_UNTIL_END)
        r->state = HTTP_COMPLETE;
    return r->state == HTTP_COMPLETE;
}

#endif
