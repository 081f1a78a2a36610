#include "broker/link/dial.h"
#include "base/check.h"
#include "base/version.h"
#include <stdio.h>

#define MS INT64_C(1000000)

struct client_options dial_options(const struct node *node, struct loop *net, struct loop *disk,
                                   const char *client_id, int64_t timeout_ms)
{
    const struct config *config = node->config;

    return (struct client_options){.io = node->io,
                                   .net = net,
                                   .disk = disk,
                                   .client_id = client_id,
                                   .software_version = WEIR_VERSION_TEXT,
                                   .timeout_ns = timeout_ms * MS,
                                   .setup_ns = config_int(config, C_socket_connection_setup_timeout_ms) * MS,
                                   .setup_max_ns =
                                       config_int(config, C_socket_connection_setup_timeout_max_ms) * MS};
}

void dial_text(char to[DIAL_TEXT_MAX], struct slice host, uint16_t port)
{
    ASSERT(host.len <= DIAL_HOST_MAX);
    (void)snprintf(to, DIAL_TEXT_MAX, memchr(host.p, ':', host.len) ? "[%.*s]:%u" : "%.*s:%u", (int)host.len,
                   (const char *)host.p, port);
}
