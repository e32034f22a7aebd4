/* The one door to memory: every allocation of the library goes through the hook of
 * base.h. Exported for the sister libraries, declared for nobody else. */
#ifndef EDDY_BASE_ALLOC_H
#define EDDY_BASE_ALLOC_H

#include <eddy/base.h>

/* NULL when there is none. The memory is not cleared. */
EDDY_API void *eddy_alloc(size_t size);
/* Cleared. */
EDDY_API void *eddy_zalloc(size_t size);
/* NULL, and ptr as it was, when there is none. */
EDDY_API void *eddy_realloc(void *ptr, size_t size);
/* NULL is fine. */
EDDY_API void eddy_free(void *ptr);

#endif
