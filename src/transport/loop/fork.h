/* What a forked child inherits, and must not keep: a copy of a descriptor holds a port, and hides from the others that
 * this process is gone. Every descriptor of the transports is owned here between the call that made it and
 * pccl_fork_close(); a child closes its copies as it comes to be, and shares nothing else with the library's threads,
 * which it has not. */
#ifndef PCCL_TRANSPORT_FORK_H
#define PCCL_TRANSPORT_FORK_H

/* From any thread: children close it. Returns `fd`; -1 stays -1. Numbers from 65,536 on are not kept track of. */
int pccl_fork_own(int fd);

/* close(). */
void pccl_fork_close(int fd);

/* Somebody else is about to close it. */
void pccl_fork_disown(int fd);

/* How many forks lie between the process that used the library first and this one. What was made under another number
 * is an ancestor's. */
unsigned pccl_fork_generation(void);

#endif
