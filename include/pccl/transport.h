/* How data travels between members, and where the threads run that move it. pccl.h includes this. */
#ifndef PCCL_TRANSPORT_H
#define PCCL_TRANSPORT_H

#ifdef __cplusplus
extern "C" {
#endif

/* How data travels; peers need not choose alike. Auto: shared memory between processes of one user in one network and
 * PID namespace where security is none (1 MiB a connection, for 32 of a process at most); else TCP, or TLS. */
typedef enum pcclTransport_t {
	pcclTransportDefault = 0, /* pcclTransportAuto */
	pcclTransportAuto = 100,
	pcclTransportTcp = 101, /* within a host, too */
	pcclTransportRdma = 102 /* where both have devices, and no security or a network that they trust
				 * (rdma_trusted in security.h); else TCP, or TLS: docs/parts/rdma.md */
} pcclTransport_t;

/* Where I/O threads run; peers need not choose alike. Auto: on the cores near the network card that carries their
 * links, of those that the thread that connects may use, if there are at least two for each lane of the group's peers
 * on this host; apart from each other if there are four, and no other such peer. Else, and where nothing tells what is
 * near, wherever the system wants. `pccl-info` shows it, as for a peer that is alone. */
typedef enum pcclBinding_t {
	pcclBindingDefault = 0, /* pcclBindingAuto */
	pcclBindingAuto = 100,
	pcclBindingOff = 101 /* wherever the system wants */
} pcclBinding_t;

#ifdef __cplusplus
}
#endif

#endif
