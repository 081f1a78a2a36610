/* DescribeQuorum, decided where the active controller is. */
#pragma once
#include "metadata/controller.h"

/* in: a DescribeQuorumRequest that describe_quorum() made. */
void decide_describe_quorum(const struct image *tip, const void *in, void *out, struct ctl_out *o);
