/* Does a broker still live? Pure: what was seen goes in, a verdict comes out. A broker is dead when the kernel of its
 * machine says so: its connections have closed and its listener refuses another; one that is paused, or whose machine
 * is gone, does neither, and is judged by its session alone. Times are of one monotonic clock. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum {
    LIFE_DIAL_MS = 50,
    LIFE_ANSWER_MS = 250 /* who lives has answered by then when it is asked whether it does */
};

struct life {
    int64_t heard_ms; /* its last heartbeat, or its registration */
    int64_t
        closed_ms; /* when its last liveness connection closed; -1: one is open. A new controller, who has none of
                         * a broker that was silent for LIFE_DIAL_MS, says the end of that time */
    int64_t refused_ms; /* when its listener refused a dial; -1: never */
};

struct life_rules {
    int64_t grace_ms;   /* broker.fence.grace.ms */
    int64_t session_ms; /* broker.session.timeout.ms */
};

enum life_verdict {
    LIFE_LIVES,
    LIFE_DOUBT, /* dial its listener now, and ask again */
    LIFE_DEAD
};

struct life_judged {
    enum life_verdict verdict;
    const char *why;       /* of LIFE_DEAD: a clause for the log */
    int64_t look_again_ms; /* when time alone may change the verdict */
};
struct life_judged life_judge(const struct life *l, const struct life_rules *rules, int64_t now_ms);
