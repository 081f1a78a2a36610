/* From settings to limits. */
#include "broker/net/internal.h"

enum { IP_ADDRS_MAX = 8 };

static void per_ip_add(struct heap *h, struct net_limits *l, const struct addr *at, int32_t max)
{
    struct ip_limit *v = heap_resize(h, (void *)l->per_ip, (size_t)(l->n_per_ip + 1) * sizeof(*v));

    memcpy(v[l->n_per_ip].ip, at->ip, sizeof(at->ip));
    v[l->n_per_ip++].max = max;
    l->per_ip = v;
}

/* One "host:count"; the host may be an address of version 6, so the last colon counts. */
static void override_add(struct io *io, struct heap *h, struct slice text, struct net_limits *l)
{
    char *one = heap_str(h, text);
    char *colon = strrchr(one, ':');
    struct addr addrs[IP_ADDRS_MAX];
    int n = 0;
    int64_t max = 0;
    enum err err = E_INVALID_CONFIG;

    if (!colon || colon == one || !colon[1])
        goto out;
    *colon = 0;
    for (const char *c = colon + 1; *c; c++) {
        if (*c < '0' || *c > '9' || (max = max * 10 + (*c - '0')) > INT32_MAX)
            goto out;
    }
    err = addr_find(io, one, 0, addrs, IP_ADDRS_MAX, &n);
    for (int i = 0; i < n && !err; i++)
        per_ip_add(h, l, &addrs[i], (int32_t)max);
out:
    if (err)
        TRACE(io, net_override, one, err_text(err));
    heap_free(h, one);
}

static void listeners_of(const struct config *c, struct net_limits *out)
{
    int n, at = 0;
    const struct config_listener *v = config_listeners(c, &n);

    for (int i = 0; i < NET_LISTENERS_MAX; i++)
        out->listeners[i] = (struct listener_limit){INT32_MAX, INT32_MAX};
    for (int i = 0; i < n && at < NET_LISTENERS_MAX; i++)
        if (!v[i].controller)
            out->listeners[at++] = (struct listener_limit){v[i].connections_max, v[i].creation_rate};
}

void net_limits_of(struct io *io, struct heap *h, const struct config *c, struct net_limits *out)
{
    int64_t idle_ms = config_int(c, C_connections_max_idle_ms);
    const char *at = config_str(c, C_max_connections_per_ip_overrides);

    *out = (struct net_limits){
        .request_bytes_max = (int32_t)config_int(c, C_socket_request_max_bytes),
        .queued_bytes_max = config_request_budget(c),
        .idle_ns = idle_ms < 0 || idle_ms > INT64_MAX / 2000000 ? 0 : idle_ms * 1000000,
        .backlog = (int32_t)config_int(c, C_socket_listen_backlog_size),
        .connections_max = (int32_t)config_int(c, C_max_connections),
        .per_ip_max = (int32_t)config_int(c, C_max_connections_per_ip),
        .creation_rate = (int32_t)config_int(c, C_max_connection_creation_rate),
    };
    listeners_of(c, out);
    while (at && *at) {
        size_t len = strcspn(at, ",");
        struct slice one = slice_of(at, len);

        while (one.len && one.p[0] == ' ')
            one = slice_of(one.p + 1, one.len - 1);
        while (one.len && one.p[one.len - 1] == ' ')
            one.len--;
        if (one.len)
            override_add(io, h, one, out);
        at += len + (at[len] == ',');
    }
}
