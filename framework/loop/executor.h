/* What run_in_executor.c needs of executor.c, and the other way round. */
#ifndef EDDY_LOOP_EXECUTOR_H
#define EDDY_LOOP_EXECUTOR_H

#include <eddy/executor.h>

/* Refuses new jobs. j, which has no fn, is done when the last thread has ended. */
void eddy_executor_end(struct eddy_executor *x, struct eddy_loop *loop, struct eddy_job *j);

/* Borrowed; made if need be. -ENOMEM, EDDY_EEXECUTOR_SHUTDOWN. */
int eddy_loop_default_executor(struct eddy_loop *loop, struct eddy_executor **ret);

#endif
