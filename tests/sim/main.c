/* sim SEEDS [FIRST [SCENARIO]] [-v]: every scenario for every seed. A process runs seed after seed until one fails;
 * the next process goes on behind it. */
#include "base/check.h"
#include "scenario.h"
#include "tally.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const tally_names[] = {
#define TALLY(name) #name,
#include "tally.def"
#undef TALLY
};
enum { TALLY_SEEDS = 100 }; /* from so many on, nothing may be missing */

struct row {
    const char *name;
    void (*run)(struct sim *s);
};

static const struct row rows[] = {
#define SCENARIO(name) {#name, scenario_##name},
#include "scenarios.def"
#undef SCENARIO
};

enum { SECONDS_MAX = 120 }; /* real ones, for one seed */

struct run {
    const struct row *row;
    uint64_t seed, end; /* from, up to */
    bool print;
    const char *program;
};

static void run_seed(const struct run *run, uint64_t seed)
{
    struct sim_options o = sim_swarm(seed);
    struct sim *s;

    alarm(SECONDS_MAX);
    o.print = run->print;
    s = sim_new_with(&o);
    run->row->run(s);
    if (run->print)
        printf("trace %016llx\n", (unsigned long long)sim_trace_hash(s));
    sim_drop(s);
}

/* Returns how many seeds went well before one failed or all were done. */
static uint64_t run_some(const struct run *run)
{
    uint64_t done, n = 0;
    int ends[2], status;
    pid_t pid;

    fflush(stdout);
    ASSERT(pipe(ends) == 0);
    pid = fork();
    ASSERT(pid >= 0);
    if (pid == 0) {
        close(ends[0]);
        for (uint64_t seed = run->seed; seed < run->end; seed++) {
            run_seed(run, seed);
            done = seed;
            ASSERT(write(ends[1], &done, sizeof(done)) == sizeof(done));
        }
        exit(0); /* leaks are looked for here */
    }
    close(ends[1]);
    while (read(ends[0], &done, sizeof(done)) == sizeof(done))
        n++;
    close(ends[0]);
    ASSERT(waitpid(pid, &status, 0) == pid);
    if (status != 0 && n == run->end - run->seed)
        n--; /* what fails at the exit is put down to the last */
    return n;
}

static int run_all(struct run run, uint64_t *passed)
{
    int failed = 0;

    while (run.seed < run.end) {
        uint64_t n = run_some(&run);
        *passed += n;
        run.seed += n;
        if (run.seed == run.end)
            break;
        struct sim_options o = sim_swarm(run.seed);
        printf("FAIL %s, ", run.row->name);
        sim_options_print(&o);
        printf("  again: %s 1 %llu %s -v\n", run.program, (unsigned long long)run.seed, run.row->name);
        failed++;
        run.seed++;
    }
    return failed;
}

/* Of one scenario, whose name theirs begin with, or of all. Returns how many things never happened. */
static int tallies_print(const char *scenario, uint64_t seeds)
{
    size_t len = scenario ? strlen(scenario) : 0;
    int missing = 0;

    for (int i = 0; i < TALLIES; i++) {
        if (scenario && (strncmp(tally_names[i], scenario, len) != 0 || tally_names[i][len] != '_'))
            continue;
        printf("%-34s %12llu\n", tally_names[i], (unsigned long long)tally_of((enum tally)i));
        missing += tally_of((enum tally)i) == 0 && seeds >= TALLY_SEEDS;
    }
    if (missing)
        printf("FAIL: %d of these never happened\n", missing);
    return missing;
}

int main(int argc, char **argv)
{
    bool print = argc > 1 && strcmp(argv[argc - 1], "-v") == 0;
    int n = argc - print, failed = 0;
    uint64_t passed = 0;

    if (n < 2 || n > 4) {
        fprintf(stderr, "usage: %s SEEDS [FIRST [SCENARIO]] [-v]\n", argv[0]);
        return 2;
    }
    tally_share();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct run run = {.row = &rows[i], .print = print, .program = argv[0]};
        run.seed = n > 2 ? strtoull(argv[2], NULL, 10) : 1;
        run.end = run.seed + strtoull(argv[1], NULL, 10);
        if (n < 4 || strcmp(argv[3], rows[i].name) == 0)
            failed += run_all(run, &passed);
    }
    if (!print)
        failed += tallies_print(n < 4 ? NULL : argv[3], strtoull(argv[1], NULL, 10));
    printf("%llu passed, %d failed\n", (unsigned long long)passed, failed);
    return failed != 0;
}
