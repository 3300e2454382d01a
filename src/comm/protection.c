#include "comm/protection.h"

#include <stddef.h>
#include <stdlib.h>

#include "base/fail.h"
#include "base/sized.h"
#include "comm/settings.h"

/* A structure without all of these fields was cut off: what it asks for would be lost without a word. */
static const struct pccl_sized security_kind = {"security", "PCCL_SECURITY_INITIALIZER",
						offsetof(pcclSecurity_t, reserved), offsetof(pcclSecurity_t, reserved)};

/* One credential: where it is, and what its field and its variable are called. */
struct credential {
	const char **text;
	const char *field;
	const char *variable;
};

/* The first two of the list are of a join secret, the next ones of certificates; then come what goes with both,
 * and what is said of networks. */
enum { SECRETS = 2, CREDENTIALS = 6, TEXTS = 9 };

static void list_credentials(pcclSecurity_t *security, struct credential list_out[TEXTS])
{
	const struct credential list[TEXTS] = {
		{&security->secret, "secret", "PCCL_SECRET"},
		{&security->secret_file, "secret_file", "PCCL_SECRET_FILE"},
		{&security->authority_file, "authority_file", "PCCL_AUTHORITY_FILE"},
		{&security->certificate_file, "certificate_file", "PCCL_CERTIFICATE_FILE"},
		{&security->key_file, "key_file", "PCCL_KEY_FILE"},
		{&security->revoked_file, "revoked_file", "PCCL_REVOKED_FILE"},
		{&security->identity_file, "identity_file", "PCCL_IDENTITY_FILE"},
		{&security->master_keys, "master_keys", "PCCL_MASTER_KEYS"},
		{&security->rdma_trusted, "rdma_trusted", "PCCL_RDMA_TRUSTED"}};
	int i;

	for (i = 0; i < TEXTS; i++)
		list_out[i] = list[i];
}

/* The name of the first that is there, NULL: none is. */
static const char *first_given(const struct credential *list, int count)
{
	int i;

	for (i = 0; i < count; i++)
		if (*list[i].text != NULL)
			return list[i].variable;
	return NULL;
}

/* An empty one is what a variable of a script leaves that was never set: not the wish to go without. */
static pcclResult_t refuse_empty(const struct credential *list)
{
	int i;

	for (i = 0; i < TEXTS; i++)
		if (*list[i].text != NULL && **list[i].text == '\0')
			return pccl_fail(pcclInvalidArgument,
					 "%s of the security settings (%s) is empty: give one, or NULL", list[i].field,
					 list[i].variable);
	return pcclSuccess;
}

static pcclResult_t look_at_variable(const char *variable, const char **text_out)
{
	*text_out = getenv(variable);
	if (*text_out != NULL && **text_out == '\0')
		return pccl_fail(pcclInvalidArgument, "%s is set and empty: give it a value, or unset it", variable);
	return pcclSuccess;
}

static pcclResult_t take_from_environment(const struct credential *credential)
{
	return *credential->text != NULL ? pcclSuccess : look_at_variable(credential->variable, credential->text);
}

/* What protects, if the mode does not say. */
static pcclResult_t guess_mode(bool secret, bool certificate, int *mode)
{
	if (secret && certificate)
		return pccl_fail(pcclInvalidArgument,
				 "both a join secret and certificates are given: "
				 "PCCL_SECURITY=psk or PCCL_SECURITY=tls says which of them counts");
	if (secret)
		*mode = pcclSecurityPsk;
	else if (certificate)
		*mode = pcclSecurityTls;
	return pcclSuccess;
}

static pcclResult_t check_mode(int mode, const pcclSecurity_t *security, const char *given)
{
	bool is_plain = mode == pcclSecurityNone || mode == pcclSecurityDefault;

	if (mode == pcclSecurityNone && given != NULL)
		return pccl_fail(pcclInvalidArgument,
				 "security none was asked for, and %s or its field is set: which of them is meant?",
				 given);
	if (is_plain && (security->identity_file != NULL || security->master_keys != NULL))
		return pccl_fail(pcclInvalidArgument,
				 "%s is set, and no join secret and no certificates: keys prove nothing on plain "
				 "connections",
				 security->master_keys != NULL ? "PCCL_MASTER_KEYS" : "PCCL_IDENTITY_FILE");
	if (mode == pcclSecurityTls &&
	    (security->authority_file == NULL || security->certificate_file == NULL || security->key_file == NULL))
		return pccl_fail(pcclInvalidArgument,
				 "security tls needs three files: PCCL_AUTHORITY_FILE (%s), PCCL_CERTIFICATE_FILE (%s) "
				 "and PCCL_KEY_FILE (%s)",
				 security->authority_file != NULL ? "given" : "missing",
				 security->certificate_file != NULL ? "given" : "missing",
				 security->key_file != NULL ? "given" : "missing");
	return pcclSuccess;
}

/* The structure goes before the environment: of a secret as a whole, of certificates file by file. */
static pcclResult_t merge(pcclSecurity_t *security)
{
	struct credential list[TEXTS];
	bool secret, certificate;
	pcclResult_t result;
	const char *word;
	int mode, i;

	list_credentials(security, list);
	result = refuse_empty(list);
	if (result == pcclSuccess && security->mode == pcclSecurityDefault)
		result = look_at_variable("PCCL_SECURITY", &word);
	if (result == pcclSuccess)
		result = pccl_settings_choice("PCCL_SECURITY", (int)security->mode, pcclEnumSecurity,
					      pcclSecurityDefault, &mode);
	if (result != pcclSuccess)
		return result;
	secret = first_given(list, SECRETS) != NULL;
	certificate = first_given(list + SECRETS, CREDENTIALS - SECRETS) != NULL;
	if (mode == pcclSecurityDefault)
		result = guess_mode(secret, certificate, &mode);
	for (i = secret ? SECRETS : 0; i < TEXTS && result == pcclSuccess; i++)
		result = take_from_environment(&list[i]);
	secret = first_given(list, SECRETS) != NULL;
	certificate = first_given(list + SECRETS, CREDENTIALS - SECRETS) != NULL;
	if (mode == pcclSecurityDefault && result == pcclSuccess)
		result = guess_mode(secret, certificate, &mode);
	if (result == pcclSuccess)
		result = check_mode(mode, security, first_given(list, CREDENTIALS));
	security->mode = (pcclSecurityMode_t)mode;
	return result;
}

/* Fills in what the environment says. */
static pcclResult_t gather(const pcclSecurity_t *given, pcclSecurity_t *security)
{
	pcclResult_t result = given != NULL ? pccl_sized_read(&security_kind, given, security) : pcclSuccess;

	if (result != pcclSuccess)
		return result;
	if (security->reserved_mode != 0)
		return pccl_fail(pcclInvalidArgument, "reserved_mode of the security settings is not 0");
	return merge(security);
}

pcclResult_t pccl_protection_open(const pcclSecurity_t *given, struct pccl_wires **wires_out)
{
	pcclSecurity_t security = PCCL_SECURITY_INITIALIZER;
	pcclResult_t result = gather(given, &security);

	*wires_out = NULL;
	return result == pcclSuccess ? pccl_wires_create(&security, wires_out) : result;
}

pcclResult_t pccl_protection_reopen(const pcclSecurity_t *given, struct pccl_wires **wires_out)
{
	pcclSecurity_t security = PCCL_SECURITY_INITIALIZER;
	pcclResult_t result = gather(given, &security);

	*wires_out = NULL;
	security.identity_file = NULL;
	security.master_keys = NULL;
	return result == pcclSuccess ? pccl_wires_create(&security, wires_out) : result;
}
