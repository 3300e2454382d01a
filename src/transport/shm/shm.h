/*
 * The wire within a host: frames through memory that both processes map, and a pipe that wakes each, beside a TCP
 * connection that ends when one of the two does. Who dials an address of its own host offers it, and both go on over
 * plain TCP when the other side may not, or can't: another user, another PID namespace, something in between. So one
 * listener serves neighbours and strangers alike.
 *
 * The memory is a memfd that can't be resized, which the other side opens in /proc: the kernel lets processes of the
 * same user do that, and root, which takes only its own. It is given back when the last of the two processes ends,
 * however that happens.
 */
#ifndef PCCL_TRANSPORT_SHM_H
#define PCCL_TRANSPORT_SHM_H

#include "transport/transport.h"

/* Offers memory, and takes it. */
extern const struct pccl_transport pccl_shm;
/* Neither: the same wire for who wants TCP only, for whom this host's neighbours offer in vain. */
extern const struct pccl_transport pccl_shm_declining;

/* Links of this process have so many times the streams that they would have, for there are several network cards: so
 * many times the usual number of connections share memory. Safe on any thread; what was made room for once stays. */
void pccl_shm_make_room(uint32_t times);

#endif
