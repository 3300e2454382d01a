/* What one read of the TLS wire finds: records in parts, damaged ones, the end, new keys. */
#include "lib/check.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "transport/engine/engine.h"
#include "transport/tls/tls.h"

#define RECORDS_PER_KEY 3u

/* A dialler and its server, between whom the test carries what is sealed. */
struct carried {
	struct pccl_tls *tls;
	const struct pccl_byte_calls *bytes;
	void *states[2];
	int fds[2];    /* theirs */
	int middle[2]; /* the other ends of those */
	uint8_t sealed[4096];
};

static size_t take_sealed(struct carried *carried, int from)
{
	ssize_t got = recv(carried->middle[from], carried->sealed, sizeof(carried->sealed), MSG_DONTWAIT);

	return got > 0 ? (size_t)got : 0;
}

static void bring_sealed(struct carried *carried, int to, size_t begin, size_t end)
{
	assert_int_equal(send(carried->middle[to], carried->sealed + begin, end - begin, 0), end - begin);
}

static void carried_open(struct carried *carried)
{
	const struct pccl_tls_config config = {.secret_count = 1, .records_per_key = RECORDS_PER_KEY};
	const struct pccl_transport *transport;
	bool done[2] = {false, false};
	int i, pair[2];

	assert_int_equal(pccl_tls_create(&config, &carried->tls), pcclSuccess);
	transport = pccl_tls_wire(carried->tls);
	carried->bytes = transport->bytes;
	for (i = 0; i < 2; i++) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
		carried->fds[i] = pair[0];
		carried->middle[i] = pair[1];
		assert_int_equal(transport->bytes->begin(transport, pair[0], i == 0, &carried->states[i]), pcclSuccess);
	}
	while (!done[0] || !done[1])
		for (i = 0; i < 2; i++) {
			if (!done[i])
				done[i] = carried->bytes->shake(carried->states[i], carried->fds[i]) == PCCL_SHAKE_DONE;
			bring_sealed(carried, 1 - i, 0, take_sealed(carried, i));
		}
}

static void carried_close(struct carried *carried)
{
	int i;

	for (i = 0; i < 2; i++) {
		carried->bytes->end(carried->states[i]);
		close(carried->fds[i]);
		close(carried->middle[i]);
	}
	pccl_tls_destroy(carried->tls);
}

/* One record of eight bytes, which the test holds then. */
static size_t carried_write(struct carried *carried, const char *word)
{
	char text[8] = {0};
	struct iovec part = {text, sizeof(text)};
	bool more;

	snprintf(text, sizeof(text), "%s", word);
	assert_int_equal(carried->bytes->write(carried->states[0], carried->fds[0], &part, 1, &more), sizeof(text));
	return take_sealed(carried, 0);
}

static ssize_t carried_read(struct carried *carried, char word[64], bool *more_out)
{
	struct iovec part = {word, 64};

	memset(word, 0, 64);
	return carried->bytes->read(carried->states[1], carried->fds[1], &part, 1, more_out);
}

static void half_a_record_waits_for_the_rest_and_the_end_behind_it_is_heard(void **state)
{
	struct carried carried;
	char word[64];
	size_t bytes;
	bool more;

	(void)state;
	carried_open(&carried);
	bytes = carried_write(&carried, "first");
	bring_sealed(&carried, 1, 0, 9);
	assert_int_equal(carried_read(&carried, word, &more), -1);
	assert_int_equal(errno, EAGAIN);
	bring_sealed(&carried, 1, 9, bytes);
	assert_int_equal(carried_read(&carried, word, &more), 8);
	assert_string_equal(word, "first");
	assert_false(more);
	assert_int_equal(carried_read(&carried, word, &more), -1);
	assert_int_equal(errno, EAGAIN);
	bytes = carried_write(&carried, "second");
	bring_sealed(&carried, 1, 0, bytes);
	shutdown(carried.middle[1], SHUT_WR);
	assert_int_equal(carried_read(&carried, word, &more), 8);
	assert_string_equal(word, "second");
	assert_int_equal(carried_read(&carried, word, &more), -1); /* it was cut off, and not ended by its owner */
	assert_int_equal(errno, ECONNRESET);
	carried_close(&carried);
}

static void what_came_before_damage_is_delivered_and_then_the_damage_is_told(void **state)
{
	struct carried carried;
	uint8_t good[256];
	size_t good_bytes, bytes;
	char word[64];
	bool more;

	(void)state;
	carried_open(&carried);
	good_bytes = carried_write(&carried, "good");
	assert_in_range(good_bytes, 8, sizeof(good));
	memcpy(good, carried.sealed, good_bytes);
	bytes = carried_write(&carried, "damaged");
	carried.sealed[bytes - 1] ^= 1;
	memmove(carried.sealed + good_bytes, carried.sealed, bytes);
	memcpy(carried.sealed, good, good_bytes);
	bring_sealed(&carried, 1, 0, good_bytes + bytes);
	assert_int_equal(carried_read(&carried, word, &more), 8);
	assert_string_equal(word, "good");
	assert_true(more);
	assert_int_equal(carried_read(&carried, word, &more), -1);
	assert_int_equal(errno, EBADMSG);
	carried_close(&carried);
}

static void key_seals_so_many_records_and_another_one_follows(void **state)
{
	struct carried carried;
	char word[64];
	size_t bytes, plain_bytes = 0;
	uint32_t i;
	bool more;

	(void)state;
	carried_open(&carried);
	for (i = 0; i < 3 * RECORDS_PER_KEY; i++) {
		bytes = carried_write(&carried, "word");
		if (i == 0)
			plain_bytes = bytes;
		if (i % RECORDS_PER_KEY == 0 && i > 0)
			assert_true(bytes > plain_bytes); /* the new key's announcement goes before */
		else
			assert_int_equal(bytes, plain_bytes);
		bring_sealed(&carried, 1, 0, bytes);
		assert_int_equal(carried_read(&carried, word, &more), 8);
		assert_string_equal(word, "word");
	}
	carried_close(&carried);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(half_a_record_waits_for_the_rest_and_the_end_behind_it_is_heard),
		cmocka_unit_test(what_came_before_damage_is_delivered_and_then_the_damage_is_told),
		cmocka_unit_test(key_seals_so_many_records_and_another_one_follows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
