/* The version as configure knows it. */
#ifndef WEIR_PROXY_VERSION_H
#define WEIR_PROXY_VERSION_H

#include "config.h"

#define WEIR_VERSION PACKAGE_VERSION

#endif
