/* Socket addresses as plain values: numeric text in, numeric text out. No look-ups here. */
#ifndef EDDY_ADDR_H
#define EDDY_ADDR_H

#include <eddy/base.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#ifdef __cplusplus
extern "C" {
#endif

struct eddy_addr {
    socklen_t len; /* bytes used below; 0: no address */
    union {
        struct sockaddr sa;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
    } u;
};

/* Who a unix socket's peer is, as of when it connected or listened. */
struct eddy_peercred {
    int64_t pid; /* -1 where the system does not tell */
    uint32_t uid, gid;
};

/* Room for any address as text, NUL included. */
#define EDDY_ADDR_TEXT 128

/* From a numeric IPv4 or IPv6 address ("127.0.0.1", "::1", "fe80::1%2" with a numeric scope or the
 * name of an interface) and a port 0..65535. -EINVAL if `host` is not numeric, or port out of
 * range. */
EDDY_API int eddy_addr_parse(const char *host, int port, struct eddy_addr *ret);

/* Writes "127.0.0.1:80", "[::1]:80", "[fe80::1%2]:80", "unix:/path", "unix:@abstract" or "unnamed"
 * into buf, cut to size, always terminated. Returns buf. */
EDDY_API const char *eddy_addr_format(const struct eddy_addr *a, char *buf, size_t size);

/* The port of an IPv4 or IPv6 address, -1 for any other. */
EDDY_API int eddy_addr_port(const struct eddy_addr *a);

/* True if both are the same endpoint (family, address, port, scope; path). */
EDDY_API bool eddy_addr_equal(const struct eddy_addr *a, const struct eddy_addr *b);

#ifdef __cplusplus
}
#endif
#endif
