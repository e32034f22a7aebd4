/* timeout: 120 */
/* labels: slow */
/* The same by vfork, which systems have that know no clone. */
#define EDDY_SPAWN_VFORK
#include "transports/spawn.c" /* in place of the library's */

#include "tests/unit/spawn.c"
