/* How this node dials others: what the clients of its links have in common, and how an address is written.
 * Loop: any. Memory: what is lent to the options is lent as long as client_new() says. */
#pragma once
#include "broker/net/client.h"
#include "broker/node.h"

enum { DIAL_HOST_MAX = 255, DIAL_TEXT_MAX = DIAL_HOST_MAX + 16 };

/* A client on `net` that looks names up on `disk`, by this node's settings; the rest is the caller's to fill. */
struct client_options dial_options(const struct node *node, struct loop *net, struct loop *disk,
                                   const char *client_id, int64_t timeout_ms);
/* host:port, or [v6]:port; a host of DIAL_HOST_MAX at most. */
void dial_text(char to[DIAL_TEXT_MAX], struct slice host, uint16_t port);
