#include "metadata/life.h"

struct life_judged life_judge(const struct life *l, const struct life_rules *rules, int64_t now_ms)
{
    int64_t session_ends = l->heard_ms + rules->session_ms;
    bool closed = l->closed_ms >= 0 && l->closed_ms >= l->heard_ms;

    if (closed && l->refused_ms >= l->closed_ms)
        return (struct life_judged){.verdict = LIFE_DEAD,
                                    .why = "its connections closed and its listener refuses"};
    if (now_ms >= session_ends)
        return (struct life_judged){.verdict = LIFE_DEAD, .why = "its session has timed out"};
    if (closed && now_ms - l->closed_ms < rules->grace_ms)
        return (struct life_judged){
            .verdict = LIFE_DOUBT,
            .look_again_ms = now_ms + LIFE_DIAL_MS < session_ends ? now_ms + LIFE_DIAL_MS : session_ends};
    return (struct life_judged){.verdict = LIFE_LIVES, .look_again_ms = session_ends};
}
