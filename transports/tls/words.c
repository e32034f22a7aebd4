#include "transports/tls/words.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void words_begin(struct words *w, char *buf, size_t size)
{
    w->at = buf;
    w->end = buf + size;
    *buf = '\0';
}

static size_t room(const struct words *w)
{
    return (size_t)(w->end - w->at) - 1;
}

static void put(struct words *w, const char *data, size_t len)
{
    if (len > room(w))
        len = room(w);
    memcpy(w->at, data, len);
    w->at += len;
    *w->at = '\0';
}

void words_put(struct words *w, const char *text)
{
    put(w, text, strlen(text));
}

void words_printf(struct words *w, const char *fmt, ...)
{
    char text[EDDY_ERROR_TEXT];
    va_list args;

    va_start(args, fmt);
    if (vsnprintf(text, sizeof text, fmt, args) > 0)
        words_put(w, text);
    va_end(args);
}

#define DOTS "..."

/* One character of it: as it is, or as four. */
static size_t spell(unsigned char c, char out[5])
{
    if (c < ' ' || c > '~' || c == '\'' || c == '\\')
        return (size_t)snprintf(out, 5, "\\x%02x", c);
    out[0] = (char)c;
    return 1;
}

void words_quote(struct words *w, const void *data, size_t len, size_t max)
{
    const unsigned char *c = data, *end = c + len;
    size_t whole = 0, used = 0, n;
    char out[5];

    for (; c < end && whole <= max; c++)
        whole += spell(*c, out);
    if (whole > max)
        max -= strlen(DOTS);
    for (c = data; c < end && used + (n = spell(*c, out)) <= max; c++, used += n)
        put(w, out, n);
    if (c < end)
        words_put(w, DOTS);
}

BIO *words_name(const X509_NAME *name)
{
    BIO *b = BIO_new(BIO_s_mem());

    if (b && X509_NAME_print_ex(b, name, 0, XN_FLAG_RFC2253) >= 0 && BIO_write(b, "", 1) == 1)
        return b;
    BIO_free(b);
    return NULL;
}

void words_put_name(struct words *w, const X509_NAME *name, size_t max)
{
    BIO *b = name ? words_name(name) : NULL;
    char *text;
    long len = b ? BIO_get_mem_data(b, &text) : 0;

    words_put(w, "'");
    if (len > 0)
        words_quote(w, text, (size_t)len - 1, max);
    words_put(w, "'");
    BIO_free(b);
}

void words_put_time(struct words *w, const ASN1_TIME *t)
{
    struct tm tm;

    if (t && ASN1_TIME_to_tm(t, &tm) == 1)
        words_printf(w, "%04d-%02d-%02d %02d:%02d UTC", tm.tm_year + 1900, tm.tm_mon + 1,
                     tm.tm_mday, tm.tm_hour, tm.tm_min);
    else
        words_put(w, "a date that is none");
}

/* ---- names ---- */

/* False: `each` has had enough. */
static bool tell(const GENERAL_NAME *g, words_name_fn *each, void *user)
{
    char address[INET6_ADDRSTRLEN];
    int type;
    const ASN1_STRING *s = GENERAL_NAME_get0_value(g, &type);

    if (type == GEN_DNS)
        return each(user, (const char *)ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s));
    if (type != GEN_IPADD)
        return true;
    int family = ASN1_STRING_length(s) == 4 ? AF_INET : AF_INET6;
    if (ASN1_STRING_length(s) != 4 && ASN1_STRING_length(s) != 16)
        return true;
    if (!inet_ntop(family, ASN1_STRING_get0_data(s), address, sizeof address))
        return true;
    return each(user, address, strlen(address));
}

int words_each_name(const X509 *x, words_name_fn *each, void *user)
{
    int found;
    GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, &found, NULL);

    if (!names) /* none, several, or what cannot be read: such a certificate is for nobody */
        return found >= 0 && ERR_GET_REASON(ERR_peek_last_error()) == ERR_R_MALLOC_FAILURE ? -ENOMEM
                                                                                           : 0;
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++)
        if (!tell(sk_GENERAL_NAME_value(names, i), each, user))
            break;
    GENERAL_NAMES_free(names);
    return 0;
}
