/* Limits of streams: one set, or under TLS one for each of the two transports. */
#include "transports/tls/layer.h"

#define DEFAULT_MAX ((size_t)64 << 20) /* of eddy_transport_set_write_max */

int tls_limits_new(bool use_tls, const struct eddy_limits *wanted, struct eddy_limits **ret,
                   struct eddy_limits **ret_upper)
{
    size_t high = wanted->low || wanted->high ? wanted->high : TLS_HIGH_MARK;

    *ret = *ret_upper = NULL;
    if (!use_tls)
        return eddy_limits_new(wanted->low, wanted->high, wanted->max, wanted->idle, wanted->write,
                               wanted->linger, ret);
    int rc = eddy_limits_new(wanted->low, high, wanted->max, wanted->idle, 0, 0, ret_upper);
    if (rc == 0) /* what was written before start_tls stays in the lower one's queue */
        rc = eddy_limits_new(0, 0, wanted->max > DEFAULT_MAX ? wanted->max : 0, 0, wanted->write,
                             wanted->linger, ret);
    return rc;
}
