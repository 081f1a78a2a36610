/* What needs librdkafka lives in a second executable, which takes this one's place. */
#include "tools/commands.h"

void cmd_produce(struct tool *t)
{
    tool_exec(t, "weir-console", "produce");
}

void cmd_consume(struct tool *t)
{
    tool_exec(t, "weir-console", "consume");
}

void cmd_perf_produce(struct tool *t)
{
    tool_exec(t, "weir-console", "perf-produce");
}

void cmd_perf_consume(struct tool *t)
{
    tool_exec(t, "weir-console", "perf-consume");
}
