#include "check.h"
#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern const struct test_row __start_weir_tests[] __attribute__((weak)),
    __stop_weir_tests[] __attribute__((weak));

_Noreturn void test_fail(const char *file, int line, const char *fmt, ...)
{
    va_list ap;
    fflush(stdout);
    fprintf(stderr, "%s:%d: ", file, line);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, "\n");
    _exit(1);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static void remove_tree(const char *path)
{
    if (nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT)
        perror(path);
}

static void dir_of(int pid, char *to, size_t len)
{
    const char *base = getenv("TEST_DIR");
    snprintf(to, len, "%s/weir-test-%d", base ? base : "/tmp", pid);
}

const char *test_dir(void)
{
    static char path[256];
    if (!path[0]) {
        dir_of(getpid(), path, sizeof(path));
        if (mkdir(path, 0700) != 0)
            test_fail(__FILE__, __LINE__, "%s: %s", path, strerror(errno));
    }
    return path;
}

static bool run_one(const struct test_row *t, int i)
{
    char name[256], path[256];
    int status;

    snprintf(name, sizeof(name), t->n > 1 ? "%s/%s#%d" : "%s/%s", t->group, t->name, i);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(60);
        t->run(i);
        exit(0); /* leaks are looked for here */
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return false;
    dir_of(pid, path, sizeof(path));
    remove_tree(path);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return true;
    if (WIFSIGNALED(status))
        printf("FAIL %s (signal %d)\n", name, WTERMSIG(status));
    else
        printf("FAIL %s\n", name);
    return false;
}

/* unit [-l] [PATTERN]: runs, or lists, the tests whose group/name contains the pattern. */
int main(int argc, char **argv)
{
    bool list = argc > 1 && strcmp(argv[1], "-l") == 0;
    const char *pattern = argc > 1 + list ? argv[1 + list] : "";
    int passed = 0, failed = 0;

    for (const struct test_row *t = __start_weir_tests; t < __stop_weir_tests; t++) {
        char name[256];
        snprintf(name, sizeof(name), "%s/%s", t->group, t->name);
        if (!strstr(name, pattern))
            continue;
        if (list) {
            printf("%s\n", name);
            continue;
        }
        for (int i = 0; i < t->n; i++)
            run_one(t, i) ? passed++ : failed++;
    }
    if (!list)
        printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
