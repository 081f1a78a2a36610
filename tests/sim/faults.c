#include "faults.h"
#include "log/reserve.h"

enum { WALL_MS_MAX = 3600000 };
static const int64_t MS = 1000000;

bool fault_cut(struct sim *s, int i, int n)
{
    bool out = sim_below(s, 3) > 0, in = !out || sim_below(s, 2);
    int spared = sim_below(s, 2) ? 1 + (int)sim_below(s, (uint64_t)n) : 0;

    for (int k = 1; k <= n; k++) {
        if (k == i || k == spared)
            continue;
        if (out)
            sim_partition(s, i, k, true);
        if (in)
            sim_partition(s, k, i, true);
    }
    return in && out;
}

void fault_link_slow(struct sim *s, int i, int n)
{
    struct sim_link link = sim_link_plain(s);

    link.net.max += (int64_t)sim_below(s, 500) * MS;
    if (sim_below(s, 2))
        link.bytes_per_s = 20000 + (int64_t)sim_below(s, 1000000);
    for (int k = 1; k <= n; k++)
        if (k != i && sim_below(s, 2))
            sim_link(s, i, k, &link);
}

void fault_resets(struct sim *s, int i, int n)
{
    for (int k = 1; k <= n; k++)
        if (k != i)
            sim_reset(s, i, k);
}

void fault_disk_slow(struct sim *s, int i)
{
    int64_t max = (int64_t)(20 + sim_below(s, 400)) * MS;
    struct sim_range speed = {max / 4, max};

    sim_disk_speed(s, i, &speed);
}

void fault_disk_stall(struct sim *s, int i)
{
    sim_disk_stall(s, i, sim_now(s) + (int64_t)sim_below(s, 1500) * MS);
}

void fault_disk_fill(struct sim *s, int i)
{
    int64_t left = (int64_t)sim_below(s, 20000), used = sim_disk_used(s, i);

    if (sim_below(s, 2) && used > LOG_RESERVE_BYTES)
        used -= LOG_RESERVE_BYTES;
    sim_disk_limit(s, i, used + left);
}

void fault_wall_jump(struct sim *s, int i)
{
    sim_wall_jump(s, i, (int64_t)sim_below(s, 2 * WALL_MS_MAX) - WALL_MS_MAX);
}

void fault_over(struct sim *s, int i)
{
    sim_disk_limit(s, i, -1);
    sim_disk_speed(s, i, NULL);
    sim_disk_stall(s, i, 0);
    sim_fail_at(s, i, 0, SIM_EIO);
    if (sim_paused(s, i))
        sim_pause(s, i, false);
}
