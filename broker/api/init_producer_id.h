/* Producer ids for idempotent producers: a NET loop has a block of 1,000 and asks the controller for the next. */
#pragma once
#include "broker/node.h"

struct producer_ids *producer_ids_new(struct net_loop *net);
void producer_ids_drop(struct producer_ids *ids);
