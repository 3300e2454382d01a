/* Public structures that begin with their size. The caller's may be older (shorter) or newer (longer) than this
 * library's. What an older one lacks has its default; what a newer one has and this library does not know must be
 * zero, which means "not asked for": a wish is refused, never cut off. */
#ifndef PCCL_BASE_SIZED_H
#define PCCL_BASE_SIZED_H

#include <pccl.h>

#include <stddef.h>

#define PCCL_SIZED_MOST 4096 /* bytes of a structure; what claims to be longer was not initialized */

/* One kind of structure. */
struct pccl_sized {
	const char *name;	 /* of the argument, for the caller */
	const char *initializer; /* the macro to use */
	size_t least;		 /* bytes without which it makes no sense */
	size_t known;		 /* bytes that this version knows: up to the reserved ones */
};

/* Checks the caller's structure. pcclInvalidArgument: its size can't be, or a byte beyond `known` is not zero. */
pcclResult_t pccl_sized_check(const struct pccl_sized *kind, const void *given);

/* Checks it and copies what is known over the defaults in *full, whose size stays. */
pcclResult_t pccl_sized_read(const struct pccl_sized *kind, const void *given, void *full);

/* Copies what is known, but for the size, into the caller's checked structure as far as that reaches. */
void pccl_sized_write(const struct pccl_sized *kind, const void *full, void *given);

#endif
