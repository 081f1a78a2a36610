/* Apart from console.h: this one stands on the tools, not on librdkafka. */
#pragma once

/* The words behind the command. Returns the exit code. */
int console_metadata_shell(int argc, char **argv);
