/* A bug stops the process where it is seen, in every build: an assertion is never compiled out. */
#pragma once

#define ASSERT(cond) (__builtin_expect(!(cond), 0) ? check_failed(__FILE__, __LINE__, #cond) : (void)0)

_Noreturn void check_failed(const char *file, int line, const char *what);
