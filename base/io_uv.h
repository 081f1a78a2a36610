/* The outside of a real process: base/io.h on Linux. A process makes one.
 * Loop:  each loop is a thread; the main thread only waits in io_uv_run(). Before the first loop starts, the
 * main thread may do what a DISK loop may: tools that only read files need no loop at all. Ends:  a signal
 * posts the message given to io_on_stop(); a second one, or the first where there is no such message, ends
 * the process as signals do. io_uv_run() returns when every loop has stopped. */
#pragma once
#include "io.h"

struct io *io_uv_new(void);
void io_uv_run(struct io *io);
void io_uv_drop(struct io *io); /* after all loops have stopped; what was said is written first */
