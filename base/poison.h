/*
 * Memory that is held but in nobody's use, told to AddressSanitizer, so that a touch of it is
 * reported. Without that sanitizer it costs nothing. Used by arena.c and freelist.c.
 */
#ifndef WEIR_BASE_POISON_H
#define WEIR_BASE_POISON_H

#include <stddef.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WEIR_ADDRESS_SANITIZER
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define WEIR_ADDRESS_SANITIZER
#endif

#ifdef WEIR_ADDRESS_SANITIZER
/* Its own header says const, from which gcc concludes that the memory is read, and warns. */
void __asan_poison_memory_region(void volatile *addr, size_t bytes);
void __asan_unpoison_memory_region(void volatile *addr, size_t bytes);
#define poison_region(ptr, bytes) __asan_poison_memory_region((ptr), (bytes))
#define unpoison_region(ptr, bytes) __asan_unpoison_memory_region((ptr), (bytes))
#else
#define poison_region(ptr, bytes) ((void)(ptr), (void)(bytes))
#define unpoison_region(ptr, bytes) ((void)(ptr), (void)(bytes))
#endif

#endif
