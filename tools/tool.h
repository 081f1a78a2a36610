/* One run of one command: what it was told, where its answer goes, and the client if it asks a broker.
 *
 * A command that asks a broker is a list of steps that reads from top to bottom: each step asks what it needs, and the
 * next one runs when all that was asked is back.
 *
 *     static void ask(struct tool *t)
 *     {
 *         t->state = tool_ask(t, client_any(), API_Metadata, tool_request(t, API_Metadata));
 *     }
 *     static void print(struct tool *t)
 *     {
 *         const struct MetadataResponse *m = tool_answer(t, t->state);
 *         …
 *     }
 *     void cmd_list(struct tool *t)
 *     {
 *         static const tool_step steps[] = {ask, print, NULL};
 *         tool_steps(t, steps);
 *     }
 *
 * Loop:   a command begins on the main thread, which may read files; its steps run on the NET loop that
 *         tool_steps() starts. `weir metadata` alone stays on the main thread and waits (meta_link.h).
 * Memory: all from t->arena, gone with the process.
 * Ends:   exit 0: done; 1: it failed, and a sentence on stderr says why; 2: the words typed make no command. The first
 *         failure ends the steps after the one that met it. */
#pragma once
#include "base/io.h"
#include "broker/net/client.h"
#include "proto_gen.h"
#include "tools/flags.h"
#include "tools/properties.h"
#include "tools/table.h"

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* What only main() has. */
struct tool_world {
    void (*write)(void *arg, int fd, struct slice bytes);
    const char *(*env)(void *arg, const char *name);
    void (*exec)(void *arg, const char *program,
                 char **argv); /* beside this one; comes back only if it can't */
    void (*interruptible)(
        void *arg); /* long work on the main thread follows: Ctrl-C ends the process at once */
    void *arg;
};

struct tool;
typedef void (*tool_step)(struct tool *t);

struct tool {
    struct io *io;
    struct heap *heap;
    const struct tool_world *world;
    const struct command *command;
    int argc; /* the words behind the command's name */
    char **argv;
    struct flags flags;
    bool json;
    int exit;
    struct arena arena;
    struct bytes out; /* stdout, until tool_flush() */
    /* while it asks a broker */
    bool running; /* loops have started: main() waits for them */
    struct loop *net, *disk;
    struct msg first;
    struct client_options options;
    struct client *client;
    const tool_step *steps;
    bool ended;
    /* What the command began and what has to end behind it, still on the main thread; NULL: nothing. */
    void (*behind)(struct tool *t, void *arg);
    void *behind_arg;
    struct pattern *patterns;
    void *state; /* the command's own */
};

void tool_init(struct tool *t, struct io *io, const struct tool_world *world);
void tool_end(struct tool *t);

/* Prints a sentence for a person to stderr and ends the command with exit code 1 or 2. */
void tool_fail(struct tool *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void tool_usage(struct tool *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void tool_warn(struct tool *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void tool_flush(struct tool *t);
struct json tool_json(struct tool *t); /* onto t->out */

/* Rows that every command that asks a broker has. */
/* clang-format off */
#define FLAGS_TOOL                                                                                             \
    {"json", 0, FLAG_BOOL, NULL, NULL, NULL, "answer in JSON"},                                                \
    {"help", 'h', FLAG_BOOL, NULL, NULL, NULL, "this text"},                                                   \
    {"version", 0, FLAG_BOOL, NULL, NULL, NULL, "the version of weir"}
#define FLAGS_CLIENT                                                                                           \
    {"bootstrap-server", 'b', FLAG_TEXT, "HOST:PORT,...", "localhost:9092", NULL, "the brokers to begin with"}, \
    {"command-config", 0, FLAG_TEXT, "FILE", NULL, NULL, "settings of the client, as properties"},             \
    FLAGS_TOOL
/* clang-format on */

/* t->options as the flags and --command-config say; `servers`: the flag that says where. false after tool_fail(), tool_usage(). */
bool tool_options(struct tool *t, const char *servers);
void tool_loops(struct tool *t); /* starts those of the client */
/* Starts the client and runs the steps, a list that ends with NULL. */
void tool_steps(struct tool *t, const tool_step *steps);
void tool_again(struct tool *t); /* the step that runs comes again when what it asks now is back */
void *tool_request(struct tool *t, int16_t api_key);
struct client_call *tool_ask(struct tool *t, struct client_route route, int16_t api_key, const void *in);
/* The response, or NULL after tool_fail(). */
const void *tool_answer(struct tool *t, const struct client_call *call);
/* A broker's error as a clause: its own words where it has sent some. */
const char *tool_error(struct tool *t, int16_t code, struct slice message);
/* A properties file, on the main thread. false after tool_fail(). */
bool tool_properties(struct tool *t, const char *path, struct properties *out);
void tool_exec(struct tool *t, const char *program, const char *command);

/* Java's regular expressions as far as POSIX has them; the whole name has to match.
 * NULL after tool_fail(). */
struct pattern;
struct pattern *pattern_new(struct tool *t, const char *text);
bool pattern_matches(const struct pattern *p, struct slice name);

bool is_internal_topic(struct slice name); /* those that Kafka keeps for itself */
