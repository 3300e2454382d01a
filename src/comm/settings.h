/* The settings of a communicator: what the caller gave, then the PCCL_* environment, then the defaults. */
#ifndef PCCL_SETTINGS_H
#define PCCL_SETTINGS_H

#include <pccl.h>
#include <pccl/diagnostics.h>
#include <pccl/security.h>

#include "membership/message/view.h"
#include "transport/address.h"

#define PCCL_MASTERS_MAX 8

struct pccl_settings {
	char masters[512]; /* "host:port,host:port" beyond the one in the parameters */
	char listen_address[256];
	char advertised_address[256];
	char interfaces[256]; /* that carry payload; "": any */
	uint16_t port_first;
	uint16_t port_last;
	uint32_t lanes;
	uint32_t streams;
	uint32_t connect_attempts; /* 0: no limit */
	uint64_t connect_timeout_ns;
	uint64_t admission_timeout_ns;
	uint64_t operation_timeout_ns; /* 0: none */
	uint64_t joint_timeout_ns;     /* 0: none */
	uint64_t master_timeout_ns;    /* 0: the machine's own */
	uint64_t heartbeat_interval_ns;
	uint64_t heartbeat_timeout_ns;
	pcclFailurePolicy_t failure_policy;
	pcclPlan_t plan;
	pcclZstd_t zstd;
	pcclVerify_t verify;
	pcclZstd_t state_zstd; /* of what is moved of states: by default where it pays */
	pcclChecksums_t checksums;
	pcclLate_t late_members;
	pcclTransport_t transport;
	pcclBinding_t binding;
	uint64_t bundle_id;
	uint32_t bundle_size;
	const pcclSecurity_t *security; /* the caller's, while the communicator is being made; may be NULL */
};

/* Merges; `config` may be NULL. pcclInvalidArgument names the field or variable and what is wrong with it. */
pcclResult_t pccl_settings_merge(const pcclCommCreateParams_t *params, const pcclConfig_t *config,
				 struct pccl_settings *settings_out);

/* One master. Its name is looked up each time that it is dialled: the answer may be another one then. */
struct pccl_master_place {
	char host[256]; /* a name, or numeric */
	uint16_t port;
};

/* `first`, unless its port is 0, and the list; names are not looked up. Returns pcclInvalidArgument. */
pcclResult_t pccl_settings_masters(const struct pccl_settings *settings, const ccoip_socket_address_t *first,
				   struct pccl_master_place places_out[PCCL_MASTERS_MAX], uint32_t *count_out);

/* One choice: what was given, else the environment variable, else the fallback; 0 is no choice. pcclInvalidArgument. */
pcclResult_t pccl_settings_choice(const char *variable, int given, pcclEnum_t which, int fallback, int *value_out);

#endif
