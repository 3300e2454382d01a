/* Children that are forked while another thread is in the middle of something. */
#ifndef PCCL_TESTS_FORKS_H
#define PCCL_TESTS_FORKS_H

/* Another thread calls `use` all the time, and so does each of many children, once: it has to come back. */
void forks_while_used(void (*use)(void));

/* A child does, alone; it must not check anything. Returns what `use` does, 0 to 255; -1: it did not come back. */
int forks_ask_child(int (*use)(void));

#endif
