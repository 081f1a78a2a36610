/* The version of this build, as nodes and tools tell it. */
#pragma once

#define WEIR_VERSION_TEXT "0.1.0"
