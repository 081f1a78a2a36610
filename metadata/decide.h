/* Shared by decide_*.c: errors as Kafka's replies have them, small sets, the cluster as placement sees it. */
#pragma once
#include "metadata/controller.h"

/* text null: Kafka sends no message with it. */
struct api_error {
    enum err err;
    struct slice text;
};
#define API_OK ((struct api_error){.err = E_OK})
struct api_error api_error(struct ctl_out *o, enum err err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* With the text that Kafka gives the code itself, or with none (fmt is never NULL). */
struct api_error api_error_plain(enum err err);
/* Fills the two fields of a reply. */
void api_error_set(struct api_error e, int16_t *code, struct slice *text);
#define SLICE_ARG(s) (int)(s).len, (const char *)(s).p

/* A topic's name; E_OK, or E_INVALID_TOPIC_EXCEPTION with Kafka's reason. */
struct api_error check_topic_name(struct ctl_out *o, struct slice name);
/* Config values of one resource after `n` changes (value null: gone): are they fine? `added`: it is new. */
struct config_change {
    struct slice name;
    struct slice value;
};
struct api_error check_configs(const struct image *tip, struct ctl_out *o, enum config_resource type,
                               struct slice resource, const struct config_change *v, int n);

/* CreateTopics' answer as it is kept (requests.h), without the new topics' settings; and the settings put in again, in steps. */
const void *create_topics_slim(const void *out, struct arena *a);
void create_topics_retell(const struct image *tip, const void *in, void *out, struct ctl_out *o);

/* ---- placement.c ---- */

struct placer;
/* E_INVALID_REPLICATION_FACTOR with Kafka's reason: these brokers can't hold so many replicas. */
struct api_error placer_new(const struct image *tip, struct ctl_out *o, int replicas, struct placer **out);
void placer_next(struct placer *p, int32_t *replicas);
struct placer *placer_keep(const struct placer *p, struct arena *a); /* a copy that lasts from step to step */
bool broker_active(const struct image *tip, int32_t id); /* registered, unfenced, not shutting down */
/* The partition record of a new partition; isr: the active ones of replicas. false: none is active. */
bool partition_emit(const struct image *tip, struct ctl_out *o, struct uuid topic, int32_t index,
                    struct ids replicas, bool glued);
/* Are these replicas, given by hand, possible? factor -1: any number of them. */
struct api_error check_manual(const struct image *tip, struct ctl_out *o, struct ids replicas, int factor);
