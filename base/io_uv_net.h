/* What io_uv_net.c and io_uv_sock.c share. */
#pragma once
#include "io_uv_internal.h"
#include <netinet/in.h>
#include <sys/socket.h>

socklen_t addr_to_native(const struct addr *a, struct sockaddr_storage *to);
int ticket_take(struct io *io, int number); /* the descriptor; -1: refused when its listener closed */
void conns_close_all(struct loop *loop);
