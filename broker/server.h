/* The composition root: makes a node from its settings, starts and stops it in order (node.h). */
#pragma once
#include "broker/config.h"
#include "broker/node.h"

struct server_options {
    const struct config *config; /* checked; lent for the node's life */
    void (*ready)(void *arg, const struct addr *bound,
                  int n_bound); /* on the control loop, once clients are served */
    void (*stopped)(void *arg, enum err why, const char *text); /* last; E_OK after an orderly stop */
    void *arg;
};

/* Starts a node on `io`; it stops on io_on_stop() or server_stop(). A start that fails says why through `stopped`. */
struct node *server_start(struct io *io, const struct server_options *options);
void server_stop(struct node *node); /* any thread */
