#include <eddy/addr.h>
#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

/* A scope is a number or the name of an interface. */
static int parse_scope(const char *text, uint32_t *ret)
{
    uint64_t number = 0;
    const char *p = text;

    while (*p >= '0' && *p <= '9' && number <= UINT32_MAX)
        number = number * 10 + (uint64_t)(*p++ - '0');
    if (*p != '\0' || p == text) {
        number = if_nametoindex(text);
        if (number == 0)
            return -EINVAL;
    }
    if (number > UINT32_MAX)
        return -EINVAL;
    *ret = (uint32_t)number;
    return 0;
}

static int parse_in6(const char *host, struct sockaddr_in6 *ret)
{
    char digits[INET6_ADDRSTRLEN];
    size_t len = strcspn(host, "%");

    if (len >= sizeof(digits))
        return -EINVAL;
    memcpy(digits, host, len);
    digits[len] = '\0';
    if (inet_pton(AF_INET6, digits, &ret->sin6_addr) != 1)
        return -EINVAL;
    if (host[len] == '%')
        return parse_scope(host + len + 1, &ret->sin6_scope_id);
    return 0;
}

int eddy_addr_parse(const char *host, int port, struct eddy_addr *ret)
{
    struct eddy_addr a;

    if (host == NULL || port < 0 || port > 65535)
        return -EINVAL;
    memset(&a, 0, sizeof(a));
    if (inet_pton(AF_INET, host, &a.u.in.sin_addr) == 1) {
        a.len = sizeof(a.u.in);
        a.u.in.sin_family = AF_INET;
        a.u.in.sin_port = htons((uint16_t)port);
    } else {
        int r = parse_in6(host, &a.u.in6);

        if (r < 0)
            return r;
        a.len = sizeof(a.u.in6);
        a.u.in6.sin6_family = AF_INET6;
        a.u.in6.sin6_port = htons((uint16_t)port);
    }
    *ret = a;
    return 0;
}

/* AF_UNSPEC if there is no address. */
static int family_of(const struct eddy_addr *a)
{
    if (a->len < (socklen_t)(offsetof(struct sockaddr, sa_family) + sizeof(a->u.sa.sa_family)))
        return AF_UNSPEC;
    return a->u.sa.sa_family;
}

/* The length of a unix socket's name: 0 if it has none. A path ends at its NUL, which its address
 * may lack or count; an abstract name starts with one and may hold more. */
static size_t unix_name_len(const struct eddy_addr *a)
{
    size_t start = offsetof(struct sockaddr_un, sun_path);
    size_t len = a->len > start ? a->len - start : 0;

    if (len > sizeof(a->u.un.sun_path))
        len = sizeof(a->u.un.sun_path);
    if (len > 0 && a->u.un.sun_path[0] != '\0')
        len = strnlen(a->u.un.sun_path, len);
    return len;
}

static void format_unix(const struct eddy_addr *a, char *buf, size_t size)
{
    char text[EDDY_ADDR_TEXT] = "unix:";
    size_t len = unix_name_len(a);
    char *p = text + strlen(text);

    if (len == 0) {
        snprintf(buf, size, "unnamed");
        return;
    }
    /* Any byte may be in a name, but the text is for one line of a log. */
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)a->u.un.sun_path[i];

        if (c == '\0')
            *p++ = '@';
        else
            *p++ = c < 0x20 || c == 0x7f ? '?' : (char)c;
    }
    *p = '\0';
    snprintf(buf, size, "%s", text);
}

const char *eddy_addr_format(const struct eddy_addr *a, char *buf, size_t size)
{
    char host[INET6_ADDRSTRLEN] = "";
    char scope[16] = "";

    switch (family_of(a)) {
    case AF_UNSPEC:
        snprintf(buf, size, "unnamed");
        break;
    case AF_INET:
        inet_ntop(AF_INET, &a->u.in.sin_addr, host, sizeof(host));
        snprintf(buf, size, "%s:%u", host, (unsigned)ntohs(a->u.in.sin_port));
        break;
    case AF_INET6:
        inet_ntop(AF_INET6, &a->u.in6.sin6_addr, host, sizeof(host));
        if (a->u.in6.sin6_scope_id != 0)
            snprintf(scope, sizeof(scope), "%%%u", (unsigned)a->u.in6.sin6_scope_id);
        snprintf(buf, size, "[%s%s]:%u", host, scope, (unsigned)ntohs(a->u.in6.sin6_port));
        break;
    case AF_UNIX:
        format_unix(a, buf, size);
        break;
    default:
        snprintf(buf, size, "address family %d", family_of(a));
        break;
    }
    return buf;
}

int eddy_addr_port(const struct eddy_addr *a)
{
    switch (family_of(a)) {
    case AF_INET:
        return ntohs(a->u.in.sin_port);
    case AF_INET6:
        return ntohs(a->u.in6.sin6_port);
    default:
        return -1;
    }
}

bool eddy_addr_equal(const struct eddy_addr *a, const struct eddy_addr *b)
{
    int family = family_of(a);

    if (family != family_of(b))
        return false;
    switch (family) {
    case AF_UNSPEC:
        return true;
    case AF_INET:
        return a->u.in.sin_port == b->u.in.sin_port &&
               a->u.in.sin_addr.s_addr == b->u.in.sin_addr.s_addr;
    case AF_INET6:
        return a->u.in6.sin6_port == b->u.in6.sin6_port &&
               a->u.in6.sin6_scope_id == b->u.in6.sin6_scope_id &&
               memcmp(&a->u.in6.sin6_addr, &b->u.in6.sin6_addr, sizeof(a->u.in6.sin6_addr)) == 0;
    case AF_UNIX:
        return unix_name_len(a) == unix_name_len(b) &&
               memcmp(a->u.un.sun_path, b->u.un.sun_path, unix_name_len(a)) == 0;
    default:
        return a->len == b->len && a->len <= sizeof(a->u) && memcmp(&a->u, &b->u, a->len) == 0;
    }
}
