/* The process-wide log sink; loops have their own in front of it (loop/loop.h). */
#ifndef EDDY_BASE_LOG_H
#define EDDY_BASE_LOG_H

#include <eddy/base.h>

/* To the process's sink. `text` is one line. */
void eddy_log_text(enum eddy_log_level level, const char *component, const char *text);

#endif
