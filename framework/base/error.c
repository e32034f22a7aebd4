#include <eddy/base.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *own_text(int code)
{
    switch (code) {
    case 0:
        return "success";
    case EDDY_ELOOP_CLOSED:
        return "the loop is closed";
    case EDDY_ELOOP_RUNNING:
        return "the loop is running";
    case EDDY_EOTHER_LOOP:
        return "another loop runs in this thread";
    case EDDY_ENOT_COMPLETED:
        return "the loop was stopped before the future completed";
    case EDDY_ENO_LOOP:
        return "no loop in this thread";
    case EDDY_ETHREAD:
        return "called from a thread other than the loop's";
    case EDDY_EFD_IN_USE:
        return "the descriptor is in use by a transport, a server or the loop";
    case EDDY_ENOT_REGISTERED:
        return "the descriptor is not registered";
    case EDDY_ENOT_SUPPORTED:
        return "not supported";
    case EDDY_EINVALID_STATE:
        return "not possible in this state";
    case EDDY_ECLOSED:
        return "closing or closed";
    case EDDY_ESTALLED:
        return "nothing is left that could wake the loop";
    case EDDY_EEXECUTOR_SHUTDOWN:
        return "the executor was shut down";
    case EDDY_EDNS:
        return "the name was not resolved";
    case EDDY_EMULTIPLE:
        return "several attempts failed";
    case EDDY_ESENDFILE_NA:
        return "the system cannot send this file";
    case EDDY_ETLS:
        return "TLS failed";
    case EDDY_ETLS_CERT:
        return "the peer's certificate is not accepted";
    default:
        return NULL;
    }
}

/* strerror may use a buffer that all threads share; strerrordesc_np never does. Other libraries
 * than the GNU one return constants for the numbers they know. */
static const char *system_text(int number)
{
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 32)
    return strerrordesc_np(number);
#else
    return strerror(number);
#endif
}

const char *eddy_strerror(int code)
{
    const char *text = own_text(code);

    if (text == NULL && code < 0 && code > EDDY_ELOOP_CLOSED)
        text = system_text(-code);
    return text != NULL ? text : "unknown error";
}

int eddy_error_set(struct eddy_error *e, int code, const char *op, const char *fmt, ...)
{
    char text[EDDY_ERROR_TEXT] = "";
    va_list args;

    if (e == NULL)
        return code;
    if (fmt != NULL) {
        /* By way of a copy: the arguments may point into *e. */
        va_start(args, fmt);
        if (vsnprintf(text, sizeof(text), fmt, args) < 0)
            text[0] = '\0';
        va_end(args);
    }
    e->code = code;
    e->detail = 0;
    e->op = op;
    e->children = NULL;
    memcpy(e->text, text, sizeof(text));
    return code;
}

void eddy_error_copy(struct eddy_error *to, const struct eddy_error *from)
{
    *to = *from;
    to->children = NULL;
    if (to->code == EDDY_EMULTIPLE)
        to->detail = 0;
}
