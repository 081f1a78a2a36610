/* Kafka's rules for names of topics. Pure. */
#pragma once
#include "base/mem.h"

bool topic_name_ok(struct slice name); /* may a topic be called so? null isn't a name */
