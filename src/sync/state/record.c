/* See record.h. The bytes, little-endian: uuid 16, nonce u64, revision u64, commit u64, committed u64, strategy u8,
 * torn u8, broken u8, zero u8,
 * length of keys u64, keys 16, content 16, loose 16. */
#include "sync/state/record.h"

#include <assert.h>
#include <string.h>

#include "base/bytes.h"
#include "base/fail.h"

void pccl_state_record_encode(const struct pccl_state_record *record, uint8_t out[PCCL_STATE_RECORD_BYTES])
{
	struct pccl_writer writer = pccl_writer_over(out, PCCL_STATE_RECORD_BYTES);

	pccl_put_bytes(&writer, record->uuid.data, sizeof(record->uuid.data));
	pccl_put_u64(&writer, record->nonce);
	pccl_put_u64(&writer, record->revision);
	pccl_put_u64(&writer, record->commit);
	pccl_put_u64(&writer, record->committed);
	pccl_put_u8(&writer, record->strategy);
	pccl_put_u8(&writer, record->torn);
	pccl_put_u8(&writer, record->broken);
	pccl_put_u8(&writer, 0);
	pccl_put_u64(&writer, record->keys_bytes);
	pccl_put_bytes(&writer, record->keys.bytes, PCCL_DIGEST_BYTES);
	pccl_put_bytes(&writer, record->content.bytes, PCCL_DIGEST_BYTES);
	pccl_put_bytes(&writer, record->loose.bytes, PCCL_DIGEST_BYTES);
	assert(!writer.overflow && pccl_writer_left(&writer) == 0);
}

pcclResult_t pccl_state_record_decode(const uint8_t in[PCCL_STATE_RECORD_BYTES], struct pccl_state_record *record_out)
{
	struct pccl_reader reader = pccl_reader_over(in, PCCL_STATE_RECORD_BYTES);
	uint8_t torn, broken, zero;

	memset(record_out, 0, sizeof(*record_out));
	pccl_get_bytes(&reader, record_out->uuid.data, sizeof(record_out->uuid.data));
	record_out->nonce = pccl_get_u64(&reader);
	record_out->revision = pccl_get_u64(&reader);
	record_out->commit = pccl_get_u64(&reader);
	record_out->committed = pccl_get_u64(&reader);
	record_out->strategy = pccl_get_u8(&reader);
	torn = pccl_get_u8(&reader);
	broken = pccl_get_u8(&reader);
	zero = pccl_get_u8(&reader);
	record_out->keys_bytes = pccl_get_u64(&reader);
	pccl_get_bytes(&reader, record_out->keys.bytes, PCCL_DIGEST_BYTES);
	pccl_get_bytes(&reader, record_out->content.bytes, PCCL_DIGEST_BYTES);
	pccl_get_bytes(&reader, record_out->loose.bytes, PCCL_DIGEST_BYTES);
	record_out->torn = torn == 1;
	record_out->broken = broken == 1;
	if (reader.bad || record_out->strategy > PCCL_SHARED_STATE_SYNC_STRATEGY_SEND_ONLY || torn > 1 || broken > 1 ||
	    zero != 0 || record_out->commit == UINT64_MAX || (record_out->commit == 0 && record_out->committed != 0))
		return pccl_fail(pcclInvalidArgument, "a peer's record of its state is none");
	return pcclSuccess;
}
