#include "check.h"
#include <stdio.h>
#include <stdlib.h>

/* The last words of a process go to standard error past the seam: nothing else can be trusted any more. */
_Noreturn void check_failed(const char *file, int line, const char *what)
{
    fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, what);
    abort();
}
