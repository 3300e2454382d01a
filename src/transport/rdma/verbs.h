/* libibverbs, loaded at run time when a connection first asks for it: only what the library needs. What its header
 * defines inline (posting, polling) goes through the device's own table and needs no symbol. */
#ifndef PCCL_TRANSPORT_RDMA_VERBS_H
#define PCCL_TRANSPORT_RDMA_VERBS_H

#include <infiniband/verbs.h>

#include <pccl.h>

/* As the functions of their names: 0, or an errno; NULL and errno. */
struct pccl_verbs {
	int (*fork_init)(void);
	struct ibv_device **(*get_device_list)(int *count);
	void (*free_device_list)(struct ibv_device **list);
	const char *(*get_device_name)(struct ibv_device *device);
	struct ibv_context *(*open_device)(struct ibv_device *device);
	int (*close_device)(struct ibv_context *context);
	int (*query_device)(struct ibv_context *context, struct ibv_device_attr *attributes);
	int (*query_port)(struct ibv_context *context, uint8_t port, void *attributes);
	int (*query_gid_ex)(struct ibv_context *context, uint32_t port, uint32_t index, struct ibv_gid_entry *entry,
			    uint32_t flags, size_t entry_bytes);
	struct ibv_pd *(*alloc_pd)(struct ibv_context *context);
	int (*dealloc_pd)(struct ibv_pd *domain);
	struct ibv_mr *(*reg_mr)(struct ibv_pd *domain, void *memory, size_t bytes, int access);
	int (*dereg_mr)(struct ibv_mr *region);
	struct ibv_comp_channel *(*create_comp_channel)(struct ibv_context *context);
	int (*destroy_comp_channel)(struct ibv_comp_channel *channel);
	struct ibv_cq *(*create_cq)(struct ibv_context *context, int entries, void *user,
				    struct ibv_comp_channel *channel, int vector);
	int (*destroy_cq)(struct ibv_cq *queue);
	int (*get_cq_event)(struct ibv_comp_channel *channel, struct ibv_cq **queue_out, void **user_out);
	void (*ack_cq_events)(struct ibv_cq *queue, unsigned int count);
	struct ibv_qp *(*create_qp)(struct ibv_pd *domain, struct ibv_qp_init_attr *attributes);
	int (*modify_qp)(struct ibv_qp *pair, struct ibv_qp_attr *attributes, int mask);
	int (*destroy_qp)(struct ibv_qp *pair);
	const char *(*wc_status_str)(enum ibv_wc_status status);
};

/* One for the process. pcclSystemError says what is missing. */
pcclResult_t pccl_verbs_load(const struct pccl_verbs **verbs_out);

#endif
