/* Messages of random values: for round trips, the fuzzer's first corpus and the comparison with Kafka's classes. */
#pragma once
#include "proto/wire.h"
#include "tests/check.h"

/* Fills *msg with values that `version` can carry; fields that it lacks keep their defaults. */
void wire_random(const struct proto_type *t, int version, struct test_random *r, struct arena *a, void *msg);
