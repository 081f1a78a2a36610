/* A scenario builds a world, lets it run under faults, and judges it; a row of scenarios.def names it.
 * It runs in a process of its own: JUDGE() and ASSERT() end that, and main.c says how to repeat it. */
#pragma once
#include "sim.h"

#define JUDGE(cond, ...) ((cond) ? (void)0 : judge_failed(__FILE__, __LINE__, #cond, __VA_ARGS__))
_Noreturn void judge_failed(const char *file, int line, const char *what, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

#define SCENARIO(name) void scenario_##name(struct sim *s);
#include "scenarios.def"
#undef SCENARIO
