#include "scenario.h"
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

_Noreturn void judge_failed(const char *file, int line, const char *what, const char *fmt, ...)
{
    va_list ap;

    fflush(stdout);
    fprintf(stderr, "%s:%d: judge: %s: ", file, line, what);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, "\n");
    _exit(1);
}
