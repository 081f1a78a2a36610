/* ApiVersions: what this node serves, and the features of the cluster.
 *
 * It announces the rows of handlers.def and nothing else; to clients, what the active controller decides at the versions that
 * it shares with this node (link/leader_apis.h), and not at all if there is none. Supported features are constants of this build, finalized ones
 * come from the image, kraft.version from the quorum. Clients before version 4 fail on a feature whose minimum is 0, so it isn't told to them.
 * The reply's header is always of version 0: the client doesn't know yet what we speak. */
#include "broker/api/handlers.h"
#include "broker/link/forward.h"
#include "broker/net/net.h"
#include <proto_gen.h>

static bool is_letter_or_digit(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* Letters, digits, dots and hyphens, the latter two neither first nor last. */
static bool software_ok(struct slice s)
{
    if (s.len == 0 || !is_letter_or_digit(s.p[0]) || !is_letter_or_digit(s.p[s.len - 1]))
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (!is_letter_or_digit(s.p[i]) && s.p[i] != '.' && s.p[i] != '-')
            return false;
    return true;
}

static void tell_apis(struct request *r, struct ApiVersionsResponse *out)
{
    const struct ApiVersionsRequest *in = r->in;
    const enum served_on here = r->listener && r->listener->controller ? ON_CONTROLLER : ON_BROKER;
    const bool ours = r->version >= 3 && slice_eq(in->client_software_name, SLICE("weir"));
    int n = 0;

    for (const struct handler *h = handler_next(NULL); h; h = handler_next(h))
        n++;
    PROTO_ARRAY_NEW(&r->arena, ApiVersionsResponse_ApiVersion, out->api_keys, n);
    n = 0;
    for (const struct handler *h = handler_next(NULL); h; h = handler_next(h)) {
        int16_t min = h->version_min, max = h->version_max;

        if (!(h->on & here) || (h->key >= OWN_API_FIRST && !ours) ||
            (here == ON_BROKER && forward_api(h->key) &&
             !leader_apis_share(&r->net->controller, h->key, &min, &max)))
            continue;
        out->api_keys.v[n++] = (struct ApiVersionsResponse_ApiVersion){
            .api_key = h->key, .min_version = min, .max_version = max};
    }
    out->api_keys.n = n;
}

static void tell_features(struct request *r, struct ApiVersionsResponse *out)
{
    const struct image *image = r->net->image;
    const struct image_feature *f;
    int16_t kraft;
    int n = 0;

    PROTO_ARRAY_NEW(&r->arena, ApiVersionsResponse_SupportedFeatureKey, out->supported_features,
                    FEATURE_COUNT);
    for (int i = 0; i < FEATURE_COUNT; i++)
        if (r->version >= 4 || FEATURES[i].min > 0)
            out->supported_features.v[n++] =
                (struct ApiVersionsResponse_SupportedFeatureKey){.name = SLICE(FEATURES[i].name),
                                                                 .min_version = FEATURES[i].min,
                                                                 .max_version = FEATURES[i].max};
    out->supported_features.n = n;
    if (!image)
        return;
    kraft = atomic_load(&r->net->node->kraft_version);
    n = 1;
    for (struct image_features it = image_features_all(image); image_features_next(&it);)
        n++;
    PROTO_ARRAY_NEW(&r->arena, ApiVersionsResponse_FinalizedFeatureKey, out->finalized_features, n);
    n = 0;
    for (struct image_features it = image_features_all(image); (f = image_features_next(&it));)
        if (!slice_eq(f->name, SLICE(FEATURE_KRAFT))) /* the quorum says when it holds */
            out->finalized_features.v[n++] = (struct ApiVersionsResponse_FinalizedFeatureKey){
                .name = f->name, .min_version_level = f->level, .max_version_level = f->level};
    if (kraft > 0)
        out->finalized_features.v[n++] = (struct ApiVersionsResponse_FinalizedFeatureKey){
            .name = SLICE(FEATURE_KRAFT), .min_version_level = kraft, .max_version_level = kraft};
    out->finalized_features.n = n;
    out->finalized_features_epoch = image->offset;
}

void api_versions(struct request *r)
{
    const struct ApiVersionsRequest *in = r->in;
    struct ApiVersionsResponse *out = r->out;

    if (r->version >= 3 &&
        (!software_ok(in->client_software_name) || !software_ok(in->client_software_version))) {
        out->error_code = err_wire(E_INVALID_REQUEST);
    } else {
        tell_apis(r, out);
        tell_features(r, out);
    }
    request_reply(r);
}

/* As Kafka: the answer names ApiVersions alone, so that the client asks again in a version that we have. */
void api_versions_unsupported(struct request *r)
{
    struct ApiVersionsResponse *out = r->out;

    out->error_code = err_wire(E_UNSUPPORTED_VERSION);
    PROTO_ARRAY_NEW(&r->arena, ApiVersionsResponse_ApiVersion, out->api_keys, 1);
    out->api_keys.v[0] = (struct ApiVersionsResponse_ApiVersion){.api_key = r->handler->key,
                                                                 .min_version = r->handler->version_min,
                                                                 .max_version = r->handler->version_max};
    request_reply(r);
}
