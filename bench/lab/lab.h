/*
 * A slow network on this machine, for processes that each get a network namespace of their own: a TUN device, and a
 * process in the middle that carries packets between these devices at a given rate and with a given delay. Kernels need
 * neither netem nor veth for that. Needs root or a kernel that lets users make namespaces.
 *
 * Every node has a link to the middle, which carries `rate` both ways; packets that would wait longer than the larger
 * of 100 ms and a round trip for either end of it are lost.
 */
#ifndef PCCL_BENCH_LAB_H
#define PCCL_BENCH_LAB_H

#include <pccl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define LAB_NODES_MAX 32

struct lab {
	double rate;	   /* bits per second */
	uint64_t delay_ns; /* one way */
	double loss;	   /* of packets, 0 to 1, each way */
	int control;	   /* to the process in the middle */
	pid_t middle;
};

/* "RATE:RTT" or "RATE:RTT:LOSS", as in 20mbit:40ms:1%; kbit, mbit, gbit; us, ms, s. False: it is not that. */
bool lab_parse(const char *text, struct lab *lab);

/* Starts the process in the middle and makes the caller node 0. It, and what it forks from then on, sees no network but
 * this. Complains and returns false on failure. */
bool lab_start(struct lab *lab);

/* Gives the calling process a network of its own, as another node; who was that node before is gone. Likewise. */
bool lab_enter(const struct lab *lab, unsigned node);

/* What the calling process has sent into the lab, headers and all; 0: it is in none. */
uint64_t lab_sent_bytes(void);

void lab_stop(struct lab *lab);

ccoip_inet_address_t lab_address(unsigned node);

#endif
